"""What the trainer costs beyond the loop itself: a fit whose steps do next to nothing, beside the bare loop."""

import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf

from alexnet_pl import recipe
from alexnet_pl.bench.rounds import Rate
from alexnet_pl.data import demo
from alexnet_pl.data.datamodule import ImageStore
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.settings import Settings
from alexnet_pl.data.source import Item

SIDE, STEPS = 72, 4000


class Empty(ImageStore):
    """As many steps as are wanted, and no images."""

    def train_dataloader(self) -> list[list[None]]:  # type: ignore[override]
        return [[None] * self.steps for _ in range(STEPS // self.steps)]


class Clock(L.Callback):
    """From an epoch's first step to its last, without what a run does once."""

    def on_train_epoch_start(self, *_: object) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.began


def overhead(cfg: DictConfig, rounds: int) -> dict[str, Rate]:
    """Microseconds a step with bar, logger and metrics on, where the trainer sees so many steps as one."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "store"
        prepare(demo.source(64, 64), root, Settings("empty", SIDE, {}), drawn)
        return {f"{steps} at a time": cost(cfg, Path(name), root, steps, rounds) for steps in (1, 10)}


def drawn(item: Item) -> tuple[Any, str]:
    return demo.read(item, SIDE)


def cost(cfg: DictConfig, folder: Path, root: Path, steps: int, rounds: int) -> Rate:
    found = [1e6 * (fitted(cfg, folder, root, steps) - bare(steps)) / STEPS for _ in range(rounds)]
    return Rate(statistics.median(found), min(found), max(found))


def fitted(cfg: DictConfig, folder: Path, root: Path, steps: int) -> float:
    own = {
        "data": {"name": "empty", "root": str(root), "size": SIDE, "batch_size": 2},
        "augment": {"crop": 67},
        "model": {"num_classes": 10},
        "speed": {"steps": steps, "compile": False},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "limit_val_batches": 0},
        "logger": "csv",
    }
    cfg = OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(cfg)), own)  # type: ignore[arg-type, assignment]
    section = {key: cfg.data[key] for key in ("root", "name", "size", "batch_size")}
    data, module, clock = Empty(**section, steps=steps), recipe.make_module(cfg), Clock()
    module.step = lambda _: module.train_sums.add_(1)  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory(dir=folder) as run, warnings.catch_warnings(action="ignore"):
        trainer = recipe.make_trainer(cfg, Path(run))
        trainer.callbacks.append(clock)  # type: ignore[attr-defined]
        trainer.fit(module, datamodule=data)
    return clock.seconds


def bare(steps: int) -> float:
    sums, batches = torch.zeros(3), [[None] * steps for _ in range(STEPS // steps)]
    began = time.perf_counter()
    for batch in batches:
        for _ in batch:
            sums.add_(1)
    return time.perf_counter() - began
