"""Callbacks that log images every few epochs: first-layer kernels (Figure 3), and predictions for fixed images."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torchvision.utils import save_image

from alexnet_pl.data.loading.loaders import EvalLoader
from alexnet_pl.data.store.store import Store
from alexnet_pl.models.filters import draw_filters
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.media import Cell, log_picture, log_table
from alexnet_pl.training.metric_names import FILTERS, PREDICTIONS
from alexnet_pl.training.strategies.towers import TowerStrategy

HEADER = ["image", "label", "answer", "right", "probability of the label", "five most probable"]


class EveryNEpochs(L.Callback):
    """`show` after the validations of every few epochs, and at the fit's end where the last one was not shown."""

    def __init__(self, every: int) -> None:
        self.every, self.step, self.shown = every, -1, -1

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch, self.step = trainer.current_epoch + 1, trainer.global_step
        if epoch == 1 or epoch % self.every == 0:
            self.show_once(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.show_once(trainer)

    def show_once(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero and self.step != self.shown:
            self.shown = self.step
            self.show(trainer)

    def show(self, trainer: L.Trainer) -> None:
        raise NotImplementedError


class FilterImageUpload(EveryNEpochs):
    """The picture that callbacks.Kernels, which comes before it, has just drawn."""

    def __init__(self, path: Path, every: int) -> None:
        super().__init__(every)
        self.path = path

    def show(self, trainer: L.Trainer) -> None:
        if self.path.is_file():
            log_picture(trainer.loggers, FILTERS, self.path, self.step)


class PredictionTable(EveryNEpochs):
    """A table of fixed validation images, evenly spread over the split: what they are and what the network says.

    Answers are picked out of the batches as the validation makes them, so that they cost no forward pass.
    """

    def __init__(self, images: int, every: int) -> None:
        super().__init__(every)
        self.images, self.numbers = images, np.empty(0, np.int64)
        self.answers: list[Tensor] = []  # (classes,) log-probabilities of images `numbers`, in their order

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        loader = trainer.val_dataloaders
        assert isinstance(loader, EvalLoader)
        own = loader.indices  # of several devices, the first shows some of its own
        places = np.linspace(0, len(own) - 1, min(self.images, len(own))).round().astype(np.int64)
        self.places, self.numbers, self.answers = places, own[places], []

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """`outputs`: (N, classes) log-probabilities."""
        loader = trainer.val_dataloaders
        assert isinstance(loader, EvalLoader)
        rows = self.places - batch_idx * loader.batch_size
        self.answers += [outputs[row] for row in rows[(rows >= 0) & (rows < len(outputs))]]

    def show(self, trainer: L.Trainer) -> None:
        module = trainer.lightning_module
        assert isinstance(module, Classifier)
        if self.answers:
            store = trainer.datamodule.store  # type: ignore[attr-defined]
            rows = prediction_table(store, self.numbers, torch.stack(self.answers).exp())
            log_table(trainer.loggers, PREDICTIONS, HEADER, rows, self.step)


def prediction_table(store: Store, numbers: np.ndarray, probabilities: Tensor) -> list[list[Cell]]:
    """A row for each of the validation images `numbers`, given their (N, classes) probabilities."""
    split, names = store.split("val"), [name.split(",")[0] for _, name in store.classes]
    images = split.images(numbers).numpy()
    best = probabilities.topk(min(5, len(names)))
    rows: list[list[Cell]] = []
    for image, label, row, five, which in zip(
        images, split.labels[numbers], probabilities, best.values.tolist(), best.indices.tolist(), strict=True
    ):
        said = ", ".join(f"{names[i]} {100 * p:.1f} %" for i, p in zip(which, five, strict=True))
        right = which[0] == int(label)
        rows.append([image.transpose(1, 2, 0), names[label], names[which[0]], right, float(row[label]), said])
    return rows


class FilterImage(L.Callback):
    """Draws the first layer's kernels (Figure 3) to `kernels.png` after every validation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        assert isinstance(pl_module, Classifier)
        weight, strategy = pl_module.net.conv1.weight, trainer.strategy
        kernels = strategy.whole("conv1.weight", weight) if isinstance(strategy, TowerStrategy) else weight
        if trainer.is_global_zero:
            save_image(draw_filters(kernels), self.path)
