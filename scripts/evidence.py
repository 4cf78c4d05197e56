"""Run the paper's comparisons, and every deviation alone, on 100 classes of tiny-ImageNet; keep each run's small files.

    python scripts/evidence.py /downloads/tiny-imagenet-200 /fast/evidence --plan
    python scripts/evidence.py /downloads/tiny-imagenet-200 /fast/evidence
    python scripts/evidence.py /downloads/tiny-imagenet-200 /fast/evidence --part deviations --seeds 1 2 3

Interrupted, the same command continues. A run whose files are in docs/data/evidence is not repeated, on any machine.
Two calls, each with its own seeds, may share the folder. tiny-ImageNet is cs231n.stanford.edu's tiny-imagenet-200.zip,
unpacked: train/<wnid>/images, val/images.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kept_runs import KEPT, keep_run

from alexnet_pl.paper.deviations import deviations

IMAGES, EPOCHS = 50_000, 10  # values of configs/tinyimagenet.yaml
RATES = (0.005, 0.01, 0.02)
PAPER_RATE = 0.01
NOISE = 1.0  # points between errors on 5,000 images that may be chance: 1.5 times the standard error of a difference
SHORT = ("trainer.max_epochs=4", "schedule.steps.drops=[3]")  # overrides for a run that tunes the learning rate
MAIN = "tinyimagenet"

ABLATIONS = {  # §4, §5 and §8
    "norm": "model.norm=false",
    "towers": "model.towers=1",
    "overlap": "model.overlap=false",
    "noise": "augment.noise=0",
    "dropout": "model.dropout=0",
    "tanh": "model.activation=tanh",
    "without-conv2": "model.without=conv2",
    "without-conv3": "model.without=conv3",
    "without-conv4": "model.without=conv4",
    "without-conv5": "model.without=conv5",
}
TUNED = ("dropout", "tanh", "towers")  # ablations that change the effect of a learning rate
PARTS = ("tuning", "full", "ablations", "deviations", "pretrained")


@dataclass(frozen=True)
class Run:
    """One network: trained by `recipe` with `overrides` on a store below the root, and tested unless it only tunes."""

    part: str
    name: str
    seed: int
    overrides: tuple[str, ...] = ()
    recipe: str = MAIN
    store: str = "task"

    @property
    def folder(self) -> Path:
        return Path(self.part, self.name, f"seed{self.seed}")

    @property
    def is_done(self) -> bool:
        return (KEPT / self.folder / "metrics.csv").is_file()


def tuning_runs() -> Iterator[Run]:
    """Runs that tune the learning rate: each rate for the full network and each tuned ablation, in a short fit without
    a tenth of the training images, which are used for validation."""
    for name in ("full", *TUNED):
        override = (ABLATIONS[name],) if name in ABLATIONS else ()
        for rate in RATES:
            yield Run("tuning", f"{name}-{rate}", 1, (*override, f"optim.lr={rate}", *SHORT), store="tune")


def tuned_rate(name: str) -> tuple[str, ...]:
    """Override with the rate of lowest error on held-out images; empty if the paper's rate is as good."""
    errors = {rate: error for rate in RATES if (error := tuning_error(name, rate)) is not None}
    if len(errors) < len(RATES):
        return ()
    best = min(errors, key=lambda rate: errors[rate])
    return (f"optim.lr={best}",) if errors[best] < errors[PAPER_RATE] - NOISE else ()


def tuning_error(name: str, rate: float) -> float | None:
    """Top-1 error in percent at the end of a tuning run; None if it has not run."""
    path = KEPT / f"tuning/{name}-{rate}/seed1/metrics.csv"
    rows = csv.DictReader(path.open()) if path.is_file() else []
    errors = [float(row["val/top1_error"]) for row in rows if row["val/top1_error"]]
    return errors[-1] if errors else None


def measured_runs(seed: int) -> Iterator[Run]:
    yield Run("full", "network", seed, tuned_rate("full"))
    for name, override in ABLATIONS.items():
        yield Run("ablations", name, seed, (override, *(tuned_rate(name) if name in TUNED else tuned_rate("full"))))
    if seed <= 3:
        for one in deviations():
            name = one.key.split(".")[-1].split("=")[-1].replace("_", "-")
            yield Run("deviations", name, seed, (one.override, *tuned_rate("full")))
    if seed <= 2:
        yield Run("pretrained", "others", seed, tuned_rate("full"), "tinyimagenet_pretrain", "others")
        yield Run("pretrained", "finetuned", seed, tuned_rate("full"), "tinyimagenet_finetune")


def planned_runs(parts: list[str], seeds: list[int]) -> list[Run]:
    """All runs in order: every network with one seed before the next seed."""
    runs = [*tuning_runs(), *(run for seed in seeds for run in measured_runs(seed))]
    return [run for run in runs if run.part in parts]


def link_classes(source: Path, root: Path) -> None:
    """Create class folders of symbolic links: `task` has every second class by wnid, `others` the classes between;
    `tune` has the training images of `task`, with every tenth as a validation image."""
    wnids = sorted(folder.name for folder in (source / "train").iterdir())
    labels = [line.split("\t")[:2] for line in (source / "val/val_annotations.txt").read_text().splitlines()]
    for half, own in (("task", wnids[::2]), ("others", wnids[1::2])):
        for wnid in own:
            link(root / half / "train" / wnid, source / "train" / wnid / "images")
        for name, wnid in labels:
            if wnid in own:
                link(root / half / "val" / wnid / name, source / "val/images" / name)
    for wnid in wnids[::2]:
        for number, image in enumerate(sorted((source / "train" / wnid / "images").iterdir())):
            link(root / "tune" / ("train" if number % 10 else "val") / wnid / image.name, image)


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(target)


def alexnet_pl(root: Path, *words: str | Path) -> None:
    """Run a command in `root`, so that its records contain no other folder."""
    package = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(package)}
    subprocess.run([sys.executable, "-m", "alexnet_pl", *map(str, words)], check=True, cwd=root, env=environment)


def prepare_stores(source: Path, root: Path) -> None:
    link_classes(source, root / "classes")
    for store, recipe in (("task", MAIN), ("others", "tinyimagenet_pretrain"), ("tune", MAIN)):
        alexnet_pl(root, "prepare", "-c", recipe, f"prepare.source=classes/{store}", f"data.root={store}")


def execute(run: Run, root: Path) -> None:
    """Train a run and test it with ten views, the full network also with the centre view; then copy the small files."""
    folder = Path("runs") / run.folder
    command = "fit" if run.part == "tuning" else "reproduce"
    words = [f"data.root={run.store}", f"seed={run.seed}", *run.overrides, f"hydra.run.dir={folder}"]
    if run.recipe == "tinyimagenet_finetune":
        words.append(f"transfer.weights=runs/pretrained/others/seed{run.seed}")
    alexnet_pl(root, command, "-c", run.recipe, *words, *(["ckpt_path=auto"] if command == "fit" else []))
    if run.part == "full":
        alexnet_pl(root, "test", folder, "test.views=center")
    keep_run(root / folder, KEPT / run.folder)


def average(root: Path, name: str, members: list[Path]) -> None:
    """Average the saved predictions of networks without running them again."""
    folder, joined = Path("runs/ensembles") / name, ",".join(map(str, members))
    alexnet_pl(
        root, "ensemble", "-c", MAIN, "data.root=task", f"ensemble.members=[{joined}]", f"hydra.run.dir={folder}"
    )
    keep_run(root / folder, KEPT / "ensembles" / name)


def average_all(root: Path) -> None:
    """Average the trained networks of those rows of Table 2 that have several."""
    networks = [Path(f"runs/full/network/seed{seed}") for seed in range(1, 6)]
    finetuned = [Path(f"runs/pretrained/finetuned/seed{seed}") for seed in (1, 2)]
    for name, members in (("5cnns", networks), ("7cnns", [*networks, *finetuned])):
        if all((root / member / "result.json").is_file() for member in members):
            average(root, name, members)


def median_rate() -> float | None:
    """Median images per second of the saved runs; None if there are none."""
    rates = [
        float(value)
        for part in PARTS
        for path in KEPT.glob(f"{part}/**/metrics.csv")
        for row in csv.DictReader(path.open())
        if (value := row.get("train/images_per_second"))
    ]
    return statistics.median(rates) if rates else None


def print_plan(left: list[Run]) -> None:
    rate = median_rate()
    hours = (
        f"about {len(left) * IMAGES * EPOCHS / rate / 3600:.1f} hours" if rate else "no run yet to tell the hours by"
    )
    print(f"{len(left)} runs left: {hours}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="tiny-imagenet-200, unpacked")
    parser.add_argument("root", type=Path, help="folder for the stores and the runs")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--plan", action="store_true", help="print what is left, and how long it will take")
    args = parser.parse_args()
    left = [run for run in planned_runs(args.part, args.seeds) if not run.is_done]
    print_plan(left)
    if args.plan:
        return
    root = args.root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    prepare_stores(args.source.resolve(), root)
    for run in left:
        if not run.is_done:  # may be done by another call in the meantime
            execute(run, root)
    average_all(root)


if __name__ == "__main__":
    main()
