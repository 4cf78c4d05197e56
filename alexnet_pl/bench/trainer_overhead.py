"""Python overhead of the trainer per step: a fit whose steps do almost nothing, beside the bare loop.

Its network is a small one: a CPU takes 12 ms for the norms of 61 million weights, which are no overhead of a trainer's.
Beside it Lightning as its introduction has it: a step a batch, its own optimisation, a line logged every step.
"""

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader, Dataset

from alexnet_pl.bench.end_to_end import hidden_terminal, run_fit
from alexnet_pl.bench.timing import Rate, rate
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.sources.base import ImageRecord
from alexnet_pl.experiment import build

SIDE, STEPS = 32, 4000
NET = {"name": "conv", "num_classes": 10}
OURS, STOCK = "ours", "stock Lightning"


class Steps:
    """A loader of batches without images."""

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[None]:
        yield from (None for _ in range(STEPS))


class Empty(ImageStore):
    def train_dataloader(self) -> Steps:  # type: ignore[override]
        return Steps()


class StepClock(L.Callback):
    """Seconds from an epoch's first step to its last, without what a run does once."""

    def on_train_epoch_start(self, *_: object) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.began


def measure_overhead(cfg: DictConfig, rounds: int) -> dict[str, Rate]:
    """Microseconds a step with bar, logger and metrics on."""
    with tempfile.TemporaryDirectory() as name, hidden_terminal():
        root = Path(name) / "store"
        prepare(synthetic.list_synthetic(64, 64), root, StoreSettings("empty", SIDE, {}), draw_image)
        contenders: dict[str, Callable[[], float]] = {
            OURS: lambda: time_ours(cfg, root),
            STOCK: lambda: time_stock(Path(name)),
        }
        found = {name: [1e6 * cost() / STEPS for _ in range(rounds)] for name, cost in contenders.items()}
    return {name: rate(costs) for name, costs in found.items()}


def draw_image(item: ImageRecord) -> tuple[Any, str]:
    return synthetic.read_drawn(item, SIDE)


def time_ours(cfg: DictConfig, root: Path) -> float:
    """Seconds beyond the bare loop."""
    own = {
        "command": "fit",
        "data": {"name": "empty", "root": str(root), "size": SIDE, "batch_size": 2},
        "augment": {"crop": SIDE},
        "model": NET,
        "schedule": {"name": "constant"},
        "performance": {"compile": False},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "limit_val_batches": 0},
        "logger": "csv",
    }
    plain = OmegaConf.to_container(cfg)
    assert isinstance(plain, dict)
    plain = OmegaConf.create({key: value for key, value in plain.items() if key != "model"})  # no guard, no other net
    cfg = OmegaConf.merge(plain, own)  # type: ignore[assignment]
    section = {key: cfg.data[key] for key in ("root", "name", "size", "batch_size")}
    module, clock = build.make_module(cfg), StepClock()
    module.step_function = lambda _: module.train_sums.add_(1)  # type: ignore[method-assign, assignment]
    run_fit(cfg, clock, Empty(**section), module)
    return clock.seconds - time_bare_loop()


def time_bare_loop() -> float:
    sums, began = torch.zeros(3), time.perf_counter()
    for _ in Steps():
        sums.add_(1)
    return time.perf_counter() - began


class Small(L.LightningModule):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        loss = self.weight.square().sum()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


class Nothing(Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> torch.Tensor:
        return NOTHING


NOTHING = torch.zeros(1)


def time_stock(folder: Path) -> float:
    """Seconds beyond the same steps in a loop."""
    module, clock = Small(), StepClock()
    with warnings.catch_warnings(action="ignore"):
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=CSVLogger(str(folder)),
            default_root_dir=folder,
            enable_model_summary=False,
            callbacks=[RichProgressBar(), clock],
        )
        trainer.fit(module, DataLoader(Nothing(), None))
    sgd = module.configure_optimizers()
    began = time.perf_counter()
    for _ in DataLoader(Nothing(), None):
        sgd.zero_grad()
        module.weight.square().sum().backward()
        sgd.step()
    return clock.seconds - (time.perf_counter() - began)
