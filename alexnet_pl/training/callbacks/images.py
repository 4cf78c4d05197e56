"""Callbacks that log images: first-layer kernels (Figure 3), and predictions for fixed validation images."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torchvision.utils import save_image

from alexnet_pl.data.loading.loaders import EvalLoader
from alexnet_pl.data.store.store import Store, short_name
from alexnet_pl.json_records import to_json, write_json
from alexnet_pl.models.color_selectivity import measure_colors
from alexnet_pl.models.filters import draw_filters
from alexnet_pl.runs.layout import KERNELS
from alexnet_pl.runs.metric_names import FILTERS, PREDICTIONS
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.media import Cell, log_picture, log_table
from alexnet_pl.training.strategies.towers import TowerStrategy

HEADER = ["image", "label", "prediction", "correct", "probability of the label", "top 5"]


class EveryNEpochs(L.Callback):
    """Calls `upload` after the first validation, the next one after every `every`-th epoch, and at the end of the
    fit."""

    def __init__(self, every: int) -> None:
        self.every, self.step, self.uploaded_step = every, -1, -1

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.step = trainer.global_step
        if is_due(trainer.current_epoch + 1, self.every, trainer.check_val_every_n_epoch or 1):
            self.upload_once(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.upload_once(trainer)

    def upload_once(self, trainer: L.Trainer) -> None:
        """Upload once per validation."""
        if trainer.is_global_zero and self.step != self.uploaded_step:
            self.uploaded_step = self.step
            self.upload(trainer)

    def upload(self, trainer: L.Trainer) -> None:
        raise NotImplementedError


def is_due(epoch: int, every: int, interval: int) -> bool:
    """Whether a validation in `epoch`, counted from 1, is in the first epoch with one, or the first since an epoch
    divisible by `every`; `interval`: epochs between validations."""
    earlier = epoch - interval
    return earlier <= 0 or epoch // every > earlier // every


class FilterImage(EveryNEpochs):
    """Draws the first layer's kernels (Figure 3) to kernels.png in `run` after every validation, and writes their
    colors to kernels.json; logs the image every `every` epochs."""

    def __init__(self, run: Path, every: int) -> None:
        super().__init__(every)
        self.run, self.path = run, run / "kernels.png"

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.draw(trainer, pl_module)
        super().on_validation_end(trainer, pl_module)

    def draw(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        weight, strategy = pl_module.net.conv1.weight, trainer.strategy
        kernels = strategy.whole("conv1.weight", weight) if isinstance(strategy, TowerStrategy) else weight
        if trainer.is_global_zero:
            save_image(draw_filters(kernels), self.path)
            colors = measure_colors(kernels, getattr(pl_module.net, "towers", 1))
            write_json(self.run / KERNELS, to_json(colors))

    def upload(self, trainer: L.Trainer) -> None:
        if self.path.is_file():
            log_picture(trainer.loggers, FILTERS, self.path, self.step)


class PredictionTable(EveryNEpochs):
    """Logs a table of predictions for `images` fixed validation images, evenly spread over the split.

    Predictions come from the validation pass, so they cost no extra forward pass.
    """

    def __init__(self, images: int, every: int) -> None:
        super().__init__(every)
        self.images, self.numbers = images, np.empty(0, np.int64)
        self.outputs: list[Tensor] = []  # (classes,) log-probabilities of images `numbers`, in the same order

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        loader = trainer.val_dataloaders
        assert isinstance(loader, EvalLoader)
        indices = loader.indices  # with several devices, the first logs images of its own shard
        positions = np.linspace(0, len(indices) - 1, min(self.images, len(indices))).round().astype(np.int64)
        self.positions, self.numbers, self.outputs = positions, indices[positions], []

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Save the outputs of the chosen images; `outputs`: (N, classes) log-probabilities."""
        loader = trainer.val_dataloaders
        assert isinstance(loader, EvalLoader)
        rows = self.positions - batch_idx * loader.batch_size
        self.outputs += [outputs[row] for row in rows[(rows >= 0) & (rows < len(outputs))]]

    def upload(self, trainer: L.Trainer) -> None:
        module = trainer.lightning_module
        assert isinstance(module, Classifier)
        if self.outputs:
            store = trainer.datamodule.store  # type: ignore[attr-defined]
            rows = make_prediction_rows(store, self.numbers, torch.stack(self.outputs).exp())
            log_table(trainer.loggers, PREDICTIONS, HEADER, rows, self.step)


def make_prediction_rows(store: Store, numbers: np.ndarray, probabilities: Tensor) -> list[list[Cell]]:
    """Table rows for the validation images `numbers`, given their (N, classes) probabilities."""
    split, names = store.split("val"), [short_name(name) for _, name in store.classes]
    images = split.images(numbers).numpy()
    top = probabilities.topk(min(5, len(names)))
    rows: list[list[Cell]] = []
    for image, label, row, shares, classes in zip(
        images, split.labels[numbers], probabilities, top.values.tolist(), top.indices.tolist(), strict=True
    ):
        ranking = ", ".join(f"{names[i]} {100 * p:.1f} %" for i, p in zip(classes, shares, strict=True))
        correct = classes[0] == int(label)
        rows.append([image.transpose(1, 2, 0), names[label], names[classes[0]], correct, float(row[label]), ranking])
    return rows
