"""Fits of one epoch for `bench`, of any number of steps, without output."""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.loading.loaders import TrainLoader
from alexnet_pl.data.store.store import Store
from alexnet_pl.experiment import build
from alexnet_pl.experiment.trainer import make_trainer

WARMUP_STEPS = 6  # untimed steps: compilation, graph capture, first use of memory


class LongEpoch(ImageStore):
    """Store whose training epoch has `steps` batches, repeating images: an epoch of a small store ends every second on
    a GPU, and each end waits for the queued work."""

    steps: int

    def train_dataloader(self) -> TrainLoader:
        loader = super().train_dataloader()
        loader.batches = self.steps
        return loader


def make_long_epoch(cfg: DictConfig, steps: int) -> ImageStore:
    data = build.make_data(cfg, LongEpoch)
    assert isinstance(data, LongEpoch)
    data.steps = steps
    return data


def fit_config(cfg: DictConfig, store: Store) -> DictConfig:
    """Compose a fit of one epoch on this store, with a validation and a checkpoint at the end.

    A store made by `bench` is not cached on the GPU, because ILSVRC-2012 would not fit.
    """
    section = {"root": str(store.root), "name": store.name, "size": store.size, "batch_size": cfg.data.batch_size}
    overrides = {
        "command": "fit",
        "data": section,
        "model": {"num_classes": len(store.classes)},
        "logger": "csv",
        "schedule": {"name": "constant"},
        "trainer": {"max_epochs": 1, "check_val_every_n_epoch": 1},
        "performance": {"cache_on_gpu": cfg.performance.cache_on_gpu and not OmegaConf.is_missing(cfg.data, "root")},
    }
    unguarded = OmegaConf.create(OmegaConf.to_container(cfg))  # disable Hydra's check for new keys
    return OmegaConf.merge(unguarded, overrides)  # type: ignore[return-value]


def run_fit(cfg: DictConfig, callback: L.Callback, data: ImageStore, module: Any = None) -> None:
    with tempfile.TemporaryDirectory() as run, hidden_terminal(), warnings.catch_warnings(action="ignore"):
        trainer = make_trainer(cfg, Path(run), build.classifier_callbacks(cfg, Path(run)))
        trainer.callbacks.append(callback)  # type: ignore[attr-defined]
        trainer.fit(module or build.make_module(cfg), datamodule=data)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextlib.contextmanager
def hidden_terminal() -> Iterator[None]:
    """Discard stdout, with the progress bar rendered as on a terminal, so that its cost is measured."""
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    with mock.patch.dict(os.environ, terminal), contextlib.redirect_stdout(io.StringIO()):
        yield
