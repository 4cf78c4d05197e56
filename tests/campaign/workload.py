"""Workload of the campaigns: small fits, tests and stores, and comparison of a run with an undisturbed one."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from forks import Ended, run
from PIL import Image

CLASSES, TRAIN, VAL = 4, 10, 5  # images per class in the two splits
COMMON = (
    "data.name=tiny", "data.batch_size=8", "logger=csv", "performance.compile=false", "model.num_classes=4",
    "trainer.max_epochs=3", "trainer.log_every_n_steps=2", "trainer.accelerator=cpu", "monitor.num_images=2",
    "performance.checkpoint_minutes=0",
)  # fmt: skip
NETS = {
    "convnet": ("cifar10_11pct", "data.size=32", "data.include_val_after_epoch=2"),
    "alexnet": ("imagenette", "data.size=72", "augment.crop=67", "trainer.max_epochs=2", "+model.width=0.125"),
}
"""A network of seconds a fit, whose training images change on the way, and AlexNet, narrow, with dropout."""
TIMES = ("train/images_per_second",)  # columns of metrics.csv that differ between runs
LEFTOVERS = ("*.tmp", "*.partial")


def write_images(folder: Path) -> Path:
    """Draw photographs with a fixed seed, as an image folder."""
    draw = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("val", VAL)):
        for label in range(CLASSES):
            for number in range(count):
                path = folder / split / f"class{label}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = draw.integers(0, 120, (80, 80, 3)) + 40 * np.eye(4)[label][:3].astype(int)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def prepare_words(images: Path, store: Path, size: int) -> list[str]:
    return [
        *("prepare", "-c", "imagenette", f"prepare.source={images}", f"data.root={store}", "data.name=tiny"),
        *(f"data.size={size}", "prepare.images_per_shard=16", "prepare.workers=1"),
    ]


class Workplace:
    """Folder with images, stores of 32 and 72 pixels, and an undisturbed run of each network; each is created on first
    use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output.txt"
        folder.mkdir(parents=True, exist_ok=True)
        self.images = write_images(folder / "images")

    def store(self, size: int) -> Path:
        root = self.folder / "stores" / str(size)
        if not root.is_dir():
            self.must(prepare_words(self.images, root, size))
        return root

    def must(self, argv: list[str]) -> Ended:
        ended = run(argv, self.output)
        if ended.code != 0:
            raise RuntimeError(f"{' '.join(argv)}: {ended.code}: {ended.text}")
        return ended

    def words(self, net: str, folder: Path) -> list[str]:
        """Command that fits to the end and tests; repeating it resumes."""
        recipe, size, *own = NETS[net]
        root = self.store(int(size.partition("=")[2]))
        return ["reproduce", "-c", recipe, f"data.root={root}", *COMMON, size, *own, f"hydra.run.dir={folder}"]

    def fit_boxes(self, folder: Path) -> list[str]:
        """Fit of a detector on drawn scenes."""
        import box_runs

        root = self.folder / "boxes"
        if not root.is_dir():
            box_runs.make_classifier_run(root / "classifier", box_runs.make_scenes(root / "scenes"))
        where = (f"data.root={root / 'scenes'}", f"transfer.weights={root / 'classifier'}", f"hydra.run.dir={folder}")
        return ["fit", "-c", "overfeat_detect", *where, *box_runs.CPU, *box_runs.KEYS, "ckpt_path=auto"]

    def reference(self, net: str) -> Path:
        """Run folder of an undisturbed fit and test."""
        folder = self.folder / "reference" / net
        if not (folder / "result.json").is_file():
            self.must(self.words(net, folder))
        return folder

    def fresh(self, name: str) -> Path:
        """Path of a folder of that name that does not exist."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.folder / name

    def copy(self, net: str, name: str) -> Path:
        return Path(shutil.copytree(self.reference(net), self.fresh(name), symlinks=True))


def rows(path: Path) -> list[dict[str, str]]:
    """metrics.csv without empty cells and times."""
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if v and k not in TIMES} for row in csv.DictReader(file)]


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True, map_location="cpu")


def same(one: Any, other: Any) -> bool:
    """Bitwise equality, also of tensors in nested containers."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


STATE = ("state_dict", "optimizer_states", "global_step", "epoch", "metrics_rows")


def compare_runs(run: Path, wanted: Path) -> list[str]:
    """Files in which a run differs from an undisturbed one, ignoring times and paths."""
    found: list[str] = []
    one, other = load(run / "checkpoints/last.ckpt"), load(wanted / "checkpoints/last.ckpt")
    found += [f"last.ckpt: {key}" for key in STATE if not same(one[key], other[key])]
    if not same(one["callbacks"]["RandomState"], other["callbacks"]["RandomState"]):
        found.append("last.ckpt: RandomState")
    best = [load(folder / "checkpoints/best.ckpt")["state_dict"] for folder in (run, wanted)]
    found += [] if same(*best) else ["best.ckpt"]
    found += [] if rows(run / "metrics.csv") == rows(wanted / "metrics.csv") else ["metrics.csv"]
    for name in ("fit.json", "result.json"):
        records = [timeless(json.loads((folder / name).read_text())) for folder in (run, wanted)]
        found += [] if records[0] == records[1] else [name]
    left = [path.name for pattern in LEFTOVERS for path in run.rglob(pattern)]
    return found + [f"left behind: {name}" for name in left]


def timeless(record: Any) -> Any:
    """A record without seconds, joules, and checksums of whole files, which depend on seconds."""
    if isinstance(record, dict):
        return {key: timeless(value) for key, value in record.items() if key not in ("seconds", "sha256", "joules")}
    return record


def compare_folders(folder: Path, wanted: Path) -> list[str]:
    """Files that differ between two folders."""
    names = {path.relative_to(root) for root in (folder, wanted) for path in root.rglob("*") if path.is_file()}
    both = ((str(name), folder / name, wanted / name) for name in sorted(names))
    return [n for n, a, b in both if not (a.is_file() and b.is_file()) or a.read_bytes() != b.read_bytes()]


def record_readers() -> dict[str, Callable[[Path], Any]]:
    """The function that reads each checkpoint and record of a run folder."""
    from alexnet_pl.evaluation.result import read_result
    from alexnet_pl.json_records import read_record
    from alexnet_pl.runs.checkpoint import read_checkpoint
    from alexnet_pl.runs.fit_status import read_fit_status
    from alexnet_pl.runs.provenance import ProvenanceRecord

    return {
        **{f"checkpoints/{name}.ckpt": read_checkpoint for name in ("last", "previous", "best")},
        "fit.json": lambda path: read_fit_status(path.parent),
        "result.json": read_result,
        "provenance.json": lambda path: read_record(path, ProvenanceRecord, ""),
    }


def corrupt_files(run: Path) -> list[str]:
    """Checkpoints and records of a run folder that cannot be read."""
    from alexnet_pl.errors import UserError

    found = []
    for name, read in record_readers().items():
        try:
            if (run / name).is_file():
                read(run / name)
        except UserError as error:
            found.append(f"corrupt: {error}")
    return found
