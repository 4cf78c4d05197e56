"""What a run shows of itself: images a second, and the first layer's kernels as in Figure 3."""

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from torchvision.utils import save_image

from alexnet_pl.kernels import draw_kernels
from alexnet_pl.loggers import logs_now, write_metrics
from alexnet_pl.module import Classifier

NAME = "train/images_per_second"


class Throughput(L.Callback):
    """Logs `train/images_per_second`, over all devices, since the last line of the log; validation is left out."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self.since, self.steps = batch_size, 0.0, 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """An epoch that is resumed in its middle has no start."""
        self.since, self.steps = time.perf_counter(), trainer.global_step

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.on_train_start(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if not logs_now(trainer):
            return
        now, steps = time.perf_counter(), trainer.global_step - self.steps
        rate = steps * self.batch_size / (now - self.since)
        write_metrics(trainer, {NAME: rate})
        pl_module.progress_metrics[NAME] = rate  # type: ignore[index, operator]
        self.since, self.steps = now, trainer.global_step


class EpochError(L.Callback):
    """Logs `train/epoch_top1_error`, percent, of the epoch's training images (Figure 1), for `monitor=` too.

    Written at once: an interruption at the epoch's end would otherwise come before Lightning's own writing.
    """

    NAME = "train/epoch_top1_error"

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        error = pl_module.epoch_error()
        pl_module.log(self.NAME, error, logger=False)  # for checkpoints and schedules that monitor it
        write_metrics(trainer, {self.NAME: error})


class Bar(RichProgressBar):
    """Lightning's progress bar with names that fit beside it; a finished epoch's line stays."""

    SHORT = {  # noqa: RUF012
        "train/loss": ("loss", "{:.3f}"),
        "val/top1_error": ("val", "{:.1f}%"),
        "train/images_per_second": ("img/s", "{:,.0f}"),
    }

    def configure_columns(self, trainer: L.Trainer) -> list[Any]:
        """Without steps a second, which images a second say too."""
        return [c for c in super().configure_columns(trainer) if type(c).__name__ != "ProcessingSpeedColumn"]

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        found = super().get_metrics(trainer, pl_module) | pl_module.progress_metrics  # type: ignore[operator]
        return {name: how.format(found[key]) for key, (name, how) in self.SHORT.items() if key in found}


class Kernels(L.Callback):
    """Draws the first layer's kernels (Figure 3) to `kernels.png` after every validation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking and trainer.state.fn == "fit":
            assert isinstance(pl_module, Classifier)
            save_image(draw_kernels(pl_module.net.conv1.weight), self.path)
