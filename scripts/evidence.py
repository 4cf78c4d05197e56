"""Run what is missing of docs/measured.md, norms.md, figure1.md, codes.md and boxes.md; keep the runs' small files.

    python scripts/evidence.py /fast/evidence --plan
    python scripts/evidence.py /fast/evidence --tinyimagenet /downloads/tiny-imagenet-200
    python scripts/evidence.py /fast/evidence --cifar10 /downloads/cifar-10-python.tar.gz --part cifar10 --seeds 1

Interrupted, the same command continues. A run whose files are in docs/data/evidence is done; remove them to repeat it.
Two calls, each with its own parts or seeds, may share the folder. Studies without their images are left out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from studies.cifar10 import CIFAR10
from studies.imagenette import IMAGENETTE
from studies.run import Run, Script, Study, median_hours
from studies.scenes import SCENES
from studies.tiny_imagenet import TINY_IMAGENET

STUDIES = (TINY_IMAGENET, CIFAR10, IMAGENETTE, SCENES)
PARTS = tuple(part for study in STUDIES for part in study.parts)


def runs_left(study: Study, parts: list[str], seeds: list[int] | None) -> list[Run | Script]:
    return [run for run in study.runs(seeds or study.seeds) if run.part in parts and not run.is_done]


def print_plan(left: list[Run | Script]) -> None:
    """Print the number of runs left in each part, with hours by the median of the runs that were kept.

    A script starts with its first run in an empty folder, whatever was kept, since its later runs use earlier ones.
    """
    for part in PARTS:
        runs = [run for run in left if run.part == part]
        count = sum(len(run.missing) if isinstance(run, Script) else 1 for run in runs)
        trained = sum(len(run.names) if isinstance(run, Script) else 1 for run in runs)
        hours = median_hours(part)
        if count:
            duration = f"about {trained * hours:.1f} hours" if hours else "hours not yet known"
            print(f"{part}: {count} left, {duration}", flush=True)
    if not left:
        print("nothing left")


def carry_out(study: Study, source: Path | None, root: Path, parts: list[str], seeds: Sequence[int]) -> None:
    """Do what is left of a study. Later runs are planned when earlier ones have ended, which tune their rates."""
    study.prepare(source, root)
    for run in study.runs(seeds):
        if run.part in parts and not run.is_done:
            train_needed(run.needs, root)
            run.execute(root)
    study.finish(root)


def train_needed(needs: Run | None, root: Path) -> None:
    """Train the network that a run uses, if it was kept from another machine and its checkpoint is not here."""
    if needs and not (root / "runs" / needs.folder / "checkpoints/last.ckpt").is_file():
        needs.execute(root)


def find_source(args: argparse.Namespace, study: Study) -> Path | None:
    return getattr(args, study.source) if study.source else None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder for the stores and the runs")
    for study in STUDIES:
        if study.source:
            parser.add_argument(f"--{study.source}", type=Path, metavar="PATH", help=study.help)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--seeds", nargs="+", type=int, help="default: those of docs/data/evidence; scripts have theirs"
    )
    parser.add_argument("--plan", action="store_true", help="print what is left, and how long it will take")
    args = parser.parse_args()
    for study in STUDIES:
        source = find_source(args, study)
        if source and not source.exists():
            parser.error(f"--{study.source} {source}: does not exist; give {study.help}")
    return args


def main() -> None:
    args = parse_arguments()
    left = {study: runs_left(study, args.part, args.seeds) for study in STUDIES}
    print_plan([run for runs in left.values() for run in runs])
    if args.plan:
        return
    root = args.root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    for study in (study for study, runs in left.items() if runs):
        source = find_source(args, study)
        if study.source and source is None:
            print(f"{study.name}: left out; its images are missing (--{study.source}: {study.help})", flush=True)
        else:
            carry_out(study, source and source.resolve(), root, args.part, args.seeds or study.seeds)


if __name__ == "__main__":
    main()
