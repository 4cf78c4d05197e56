"""Run the paper's comparisons, and every deviation alone, on 100 classes of tiny-ImageNet; keep each run's small files.

    python scripts/evidence.py /downloads/tiny-imagenet-200 /fast/evidence
    python scripts/evidence.py /downloads/tiny-imagenet-200 /fast/evidence --part deviations --seeds 1 2 3
    python scripts/evidence.py /downloads/tiny-imagenet-200 /fast/evidence --plan

Interrupted, the same command continues. A run whose files are in docs/data/evidence is not repeated, on any machine.
tiny-ImageNet is cs231n.stanford.edu's tiny-imagenet-200.zip, unpacked: train/<wnid>/images, val/images.
"""

import argparse
import csv
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEPT = Path(__file__).parent.parent / "docs/data/evidence"
SMALL_FILES = ("result.json", "result-center.json", "fit.json", "provenance.json", "metrics.csv")
IMAGES = 50_000  # of the 100 classes that are trained on
EPOCHS = 15  # of configs/tinyimagenet.yaml

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
DEVIATIONS = {  # docs/deviations.md: the printed text's value of one switch, the others as the program ran
    "as-printed": "variant=as_printed",
    "relu-after-pool1": "model.relu_after_pool1=false",
    "norm-per-tower": "model.norm_per_tower=false",
    "alpha-over-n": "model.alpha_over_n=false",
    "spatial-norm": "model.spatial_norm=false",
    "wide-init": "model.wide_init=false",
    "noise-scale": "augment.noise_scale=eigenvalue",
    "rescale": "augment.rescale=false",
    "mean": "augment.mean=per_position",
    "last-offset": "augment.include_last_offset=false",
    "bias-rate": "optim.bias_lr_scale=1",
    "bias-decay": "optim.decay_biases=true",
    "images-per-crop": "augment.images_per_crop=32",
}


@dataclass(frozen=True)
class Run:
    """One network: trained by `recipe` with one override, then tested."""

    part: str
    name: str
    seed: int
    override: str | None = None
    recipe: str = "tinyimagenet"

    @property
    def folder(self) -> Path:
        return Path(self.part, self.name, f"seed{self.seed}")

    @property
    def done(self) -> bool:
        return (KEPT / self.folder / "result.json").is_file()


def runs(parts: list[str], seeds: list[int]) -> Iterator[Run]:
    """In the order of use: one seed of everything before the next seed."""
    for seed in seeds:
        if "full" in parts:
            yield Run("full", "network", seed)
        if "ablations" in parts:
            yield from (Run("ablations", name, seed, override) for name, override in ABLATIONS.items())
        if "deviations" in parts and seed <= 3:
            yield from (Run("deviations", name, seed, override) for name, override in DEVIATIONS.items())


def link_classes(source: Path, root: Path) -> None:
    """Folders of symbolic links: `task` is every second class by wnid, `others` the classes between them."""
    wnids = sorted(folder.name for folder in (source / "train").iterdir())
    labels = [line.split("\t")[:2] for line in (source / "val/val_annotations.txt").read_text().splitlines()]
    for half, own in (("task", wnids[::2]), ("others", wnids[1::2])):
        for wnid in own:
            link(root / half / "train" / wnid, source / "train" / wnid / "images")
        for name, wnid in labels:
            if wnid in own:
                link(root / half / "val" / wnid / name, source / "val/images" / name)


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(target)


def alexnet_pl(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "alexnet_pl", *map(str, words)], check=True)


def execute(run: Run, root: Path) -> None:
    """Train and test with ten views and the centre view, then keep the small files."""
    folder = root / "runs" / run.folder
    words = [f"data.root={root / 'task'}", f"seed={run.seed}", *([run.override] if run.override else [])]
    alexnet_pl("reproduce", "-c", run.recipe, *words, f"hydra.run.dir={folder}")
    if run.part == "full":
        alexnet_pl("test", folder, "test.views=center")
    keep(folder, KEPT / run.folder)


def keep(folder: Path, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for name in SMALL_FILES:
        if (folder / name).is_file():
            shutil.copy(folder / name, kept / name)


def median_rate() -> float | None:
    """Images a second of the runs that have been kept; None before the first."""
    rates = [
        float(value)
        for path in KEPT.glob("**/metrics.csv")
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
    parser.add_argument("--part", nargs="+", choices=("full", "ablations", "deviations"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--plan", action="store_true", help="print what is left, and how long it will take")
    args = parser.parse_args()
    left = [run for run in runs(args.part or ["full", "ablations", "deviations"], args.seeds) if not run.done]
    print_plan(left)
    if args.plan or not left:
        return
    root = args.root.resolve()
    link_classes(args.source.resolve(), root / "classes")
    alexnet_pl("prepare", "-c", "tinyimagenet", f"prepare.source={root / 'classes/task'}", f"data.root={root / 'task'}")
    for run in left:
        execute(run, root)


if __name__ == "__main__":
    main()
