"""Saving predictions during a test: the callback that writes probabilities.parquet."""

from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor

from alexnet_pl.data.loading.datamodule import image_share
from alexnet_pl.data.loading.loaders import EvalLoader
from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation.prediction_file import Block, PredictionFileWriter, merge_parts
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.files import check_space

AUTO_LIMIT = 2 * 10**9  # bytes of probabilities that `test.save_predictions=auto` writes at most


def should_save_predictions(setting: bool | str, images: int, classes: int) -> bool:
    """Whether to write probabilities: `setting`, or if it is "auto", whether they take at most `AUTO_LIMIT` bytes."""
    return images * classes * 2 <= AUTO_LIMIT if setting == "auto" else bool(setting)


def check_space_of_predictions(folder: Path, images: int, classes: int) -> None:
    """Raise UserError if the disk cannot hold the probabilities: Fall 2009 has 90 GB before compression, which leaves a
    quarter of those of a very certain network, more of others."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    needed = images * classes * 2 // 4
    check_space(existing, needed, "test.save_predictions", "free some space, or set test.save_predictions=false")


def best_classes(scores: Tensor) -> Tensor:
    """The five most probable classes, (N, 5); −1 for images with scores that are not finite, which count as wrong."""
    best = scores.topk(min(5, scores.shape[1])).indices
    return best.where(scores.isfinite().all(1, keepdim=True), -1)


class PredictionWriter(L.Callback):
    """Callback that saves predictions batch by batch; each process writes its images, merged at the end.

    Holds one batch and up to `ROWS_PER_BLOCK` images in memory.
    """

    def __init__(self, path: Path, store: Store, test: TestDescription, with_probabilities: bool) -> None:
        self.path, self.test, self.has_probabilities = path, test, with_probabilities
        self.classes, self.split = len(store.classes), store.split(test.dataset.split)
        self.writer: PredictionFileWriter | None = None

    def part_path(self, share: int, shares: int) -> Path:
        return self.path if shares == 1 else self.path.with_name(f"{self.path.name}.{share}")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the file. Of processes with the same images (towers of one network), only the first writes."""
        self.share, self.shares = image_share(trainer)
        if trainer.global_rank == self.share * (trainer.world_size // self.shares):
            self.writer = PredictionFileWriter(
                self.part_path(self.share, self.shares), self.classes, self.has_probabilities
            )

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """`outputs`: (N, classes) log-probabilities."""
        assert isinstance(outputs, Tensor)
        if self.writer is None:
            return
        loader = trainer.test_dataloaders
        assert isinstance(loader, EvalLoader)
        numbers = loader.indices[self.writer.rows : self.writer.rows + len(outputs)]
        self.writer.add(
            Block(
                self.split.names_of(numbers),
                batch.labels.cpu().numpy(),
                best_classes(outputs).cpu().numpy(),
                outputs.exp().half().cpu().numpy() if self.has_probabilities else None,
            )
        )

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if self.writer is not None:
            self.writer.discard()

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.writer is not None:
            self.writer.close(self.test)
        trainer.strategy.barrier()
        if self.shares > 1 and trainer.is_global_zero:
            parts = [self.part_path(share, self.shares) for share in range(self.shares)]
            merge_parts(parts, self.path, self.classes, self.has_probabilities, self.test)
