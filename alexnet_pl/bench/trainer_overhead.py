"""Python overhead of the trainer per step: a fit with almost empty steps, compared with a bare loop.

The network is small, because logging the norms of 61 million weights would take 12 ms on a CPU. The baseline is a
minimal LightningModule with automatic optimization that logs every step.
"""

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader, Dataset

from alexnet_pl.bench.short_fits import hidden_terminal, run_fit
from alexnet_pl.bench.timing import Rate, summarize_rates
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.sources.base import ImageRecord
from alexnet_pl.experiment import build

SIDE, STEPS = 32, 4000
NET = {"name": "conv", "num_classes": 10}
OURS, STOCK = "ours", "stock Lightning"


class EmptyBatches:
    """Loader of empty batches. They are not None, because Lightning skips a batch that is None."""

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[tuple[()]]:
        yield from repeat((), STEPS)


class EmptyStore(ImageStore):
    def train_dataloader(self) -> EmptyBatches:  # type: ignore[override]
        return EmptyBatches()


class StepClock(L.Callback):
    """Measures the seconds of an epoch, without the start and the end of the run."""

    def on_train_epoch_start(self, *_: object) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, *_: object) -> None:
        self.seconds = time.perf_counter() - self.start
        assert trainer.global_step == STEPS


def measure_overhead(cfg: DictConfig, rounds: int) -> dict[str, Rate]:
    """Measure microseconds per step over a bare loop, with progress bar, logger and metrics."""
    with tempfile.TemporaryDirectory() as name, hidden_terminal():
        root = Path(name) / "store"
        prepare(synthetic.list_synthetic(64, 64), root, StoreSettings("empty", SIDE, {}), draw_image)
        candidates: dict[str, Callable[[], float]] = {
            OURS: lambda: time_ours(cfg, root),
            STOCK: lambda: time_stock(Path(name)),
        }
        costs_by_name = {name: [1e6 * cost() / STEPS for _ in range(rounds)] for name, cost in candidates.items()}
    return {name: summarize_rates(costs) for name, costs in costs_by_name.items()}


def draw_image(item: ImageRecord) -> tuple[Any, str]:
    return synthetic.read_drawn(item, SIDE)


def time_ours(cfg: DictConfig, root: Path) -> float:
    """Measure the seconds of this package's trainer beyond the bare loop."""
    overrides = {
        "command": "fit",
        "data": {"name": "empty", "root": str(root), "size": SIDE, "batch_size": 2},
        "augment": {"crop": SIDE},
        "model": NET,
        "schedule": {"name": "constant"},
        "performance": {"compile": False},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "limit_val_batches": 0},
        "logger": "csv",
    }
    base: Any = OmegaConf.to_container(cfg)  # without Hydra's check for new keys
    del base["model"]
    cfg = OmegaConf.merge(base, overrides)  # type: ignore[assignment]
    section = {key: cfg.data[key] for key in ("root", "name", "size", "batch_size")}
    module, clock = build.make_module(cfg), StepClock()
    module.step_function = lambda _: module.sums.unlogged.add_(1)  # type: ignore[method-assign, assignment]
    run_fit(cfg, clock, EmptyStore(**section), module)
    return clock.seconds - time_bare_loop()


def time_bare_loop() -> float:
    sums, start = torch.zeros(3), time.perf_counter()
    for _ in EmptyBatches():
        sums.add_(1)
    return time.perf_counter() - start


class OneWeightModule(L.LightningModule):
    """LightningModule with a single weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        loss = self.weight.square().sum()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


class EmptyDataset(Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> torch.Tensor:
        return EMPTY


EMPTY = torch.zeros(1)


def time_stock(folder: Path) -> float:
    """Measure the seconds of stock Lightning beyond the same steps in a loop."""
    module, clock = OneWeightModule(), StepClock()
    with warnings.catch_warnings(action="ignore"):
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=CSVLogger(str(folder)),
            default_root_dir=folder,
            enable_model_summary=False,
            callbacks=[RichProgressBar(), clock],
        )
        trainer.fit(module, DataLoader(EmptyDataset(), None))
    sgd = module.configure_optimizers()
    start = time.perf_counter()
    for _ in DataLoader(EmptyDataset(), None):
        sgd.zero_grad()
        module.weight.square().sum().backward()
        sgd.step()
    return clock.seconds - (time.perf_counter() - start)
