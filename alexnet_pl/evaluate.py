"""Testing (§5.1, §7): what a network answers to every image of a split, kept on disk, and where it goes wrong.

A test leaves `results/<split>-<views>/` in the run folder:

    result.json            error rates with their intervals, and what was tested (also copied to the run folder)
    probabilities.parquet  the network's answer to every image (probabilities.py)
    per_class.csv          errors of each class
    confusions.csv         pairs of classes, the most confused first
    confusions.png         pictures of those
    submission.txt         ILSVRC-2012's test images, whose labels are not known, for the test server (submission.py)
"""

import hashlib
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from torch import Tensor

from alexnet_pl.data.store import Store
from alexnet_pl.probabilities import LARGEST, Block, Reader, Writer, interleave


def dataset(store: Store, split: str) -> dict[str, Any]:
    """What tells one set of images from another, whatever it calls itself."""
    identities = "\n".join(identity for identity, _ in store.classes)
    return {
        "name": store.name,
        "fingerprint": store.fingerprint,
        "split": split,
        "images": len(store.split(split)),
        "train_images": store.about["splits"].get("train", {}).get("images", 0),
        "classes": len(store.classes),
        "class_list": hashlib.sha256(identities.encode()).hexdigest(),
    }


def place(run: Path, split: str, views: str) -> Path:
    """Where a test's results lie; those of the centre view may have been written under its older name."""
    path, older = (run / "results" / f"{split}-{name}" for name in (views, "centre"))
    return older if views == "center" and older.is_dir() and not path.is_dir() else path


def keeps(wanted: bool | str, images: int, classes: int) -> bool:
    """Whether probabilities are written: as told, or (`auto`) where they take no more than `LARGEST` bytes."""
    return images * classes * 2 <= LARGEST if wanted == "auto" else bool(wanted)


class Keep(L.Callback):
    """Writes a network's answers as the batches come, each device its own share, put together at the end.

    One batch is in memory, and up to `probabilities.ROWS` images that wait for a full block of the file.
    """

    def __init__(self, path: Path, store: Store, facts: dict[str, Any], kept: bool) -> None:
        self.path, self.facts, self.kept = path, facts, kept
        self.classes, self.split = len(store.classes), store.split(facts["dataset"]["split"])

    def part(self, rank: int, world: int) -> Path:
        return self.path if world == 1 else self.path.with_name(f"{self.path.name}.{rank}")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.writer = Writer(self.part(trainer.global_rank, trainer.world_size), self.classes, self.kept)

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """`outputs`: (N, classes) logarithms of probabilities."""
        assert isinstance(outputs, Tensor)
        first = trainer.global_rank + self.writer.rows * trainer.world_size
        numbers = range(first, first + len(outputs) * trainer.world_size, trainer.world_size)
        self.writer.add(
            Block(
                [self.split.names[i] for i in numbers],
                batch.labels.cpu().numpy(),
                outputs.topk(min(5, self.classes)).indices.cpu().numpy(),
                outputs.exp().half().cpu().numpy() if self.kept else None,
            )
        )

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.writer.close(self.facts)
        trainer.strategy.barrier()
        if trainer.world_size > 1 and trainer.is_global_zero:
            parts = [self.part(rank, trainer.world_size) for rank in range(trainer.world_size)]
            interleave(parts, self.path, self.classes, self.kept, self.facts)


def answers(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) and best classes (N, 5 or fewer) of a whole file: a few bytes an image."""
    blocks = list(Reader(path).blocks(probabilities=False))
    return np.concatenate([block.labels for block in blocks]), np.concatenate([block.best for block in blocks])


def by_class(labels: np.ndarray, best: np.ndarray, classes: list[list[str]]) -> list[dict[str, Any]]:
    """Images and errors in percent of each class that has images, the hardest first."""
    count = np.bincount(labels, minlength=len(classes))
    wrong1 = np.bincount(labels[best[:, 0] != labels], minlength=len(classes))
    wrong5 = np.bincount(labels[(best != labels[:, None]).all(1)], minlength=len(classes))
    rows = [
        {
            "class": classes[i][0],
            "name": classes[i][1],
            "images": int(count[i]),
            "top1_error": 100 * wrong1[i] / count[i],
            "top5_error": 100 * wrong5[i] / count[i],
        }
        for i in np.flatnonzero(count)
    ]
    return sorted(rows, key=lambda row: (-row["top1_error"], row["class"]))


def confusions(labels: np.ndarray, best: np.ndarray, classes: int) -> list[tuple[int, int, np.ndarray]]:
    """(true class, class taken for it, numbers of the images), most images first, then by class."""
    wrong = np.flatnonzero(best[:, 0] != labels)
    pairs = labels[wrong].astype(np.int64) * classes + best[wrong, 0]
    order = np.argsort(pairs, kind="stable")
    kinds, starts = np.unique(pairs[order], return_index=True)
    groups = np.split(wrong[order], starts[1:])
    found = [(int(kind // classes), int(kind % classes), group) for kind, group in zip(kinds, groups, strict=False)]
    return sorted(found, key=lambda row: (-len(row[2]), row[:2]))
