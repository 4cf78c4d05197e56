"""Errors in the state that a resumed fit restores: each names the checkpoint."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch

from alexnet_pl.errors import UserError, reason

RESTORING = (
    "restore",
    "_restore",
    "load_state_dict",
    "_load_combined_loader",
    "on_load_checkpoint",
    "_call_callbacks_load",
)
"""Prefixes of the functions, here and in Lightning, that restore state from a checkpoint."""


@contextmanager
def restoring(path: str | None) -> Iterator[None]:
    """Turn errors while restoring the checkpoint at `path` into a UserError that names the file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if path is None or not restores(error):
            raise
        raise corrupt(path, f"{type(error).__name__}: {reason(error)}") from error


def restores(error: Exception) -> bool:
    return any(frame.name.startswith(RESTORING) for frame in traceback.extract_tb(error.__traceback__))


def corrupt(path: str | None, why: str) -> UserError:
    return UserError(f"ckpt_path: {path}: its training state cannot be restored ({why}); use another checkpoint")


class RestoredState(L.Callback):
    """Checks the state of a resumed fit when training starts. Raises UserError if counters are not numbers, weights are
    not finite, or velocities do not fit the weights."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.path is None:
            return
        for name, weights in pl_module.named_parameters():
            if not weights.isfinite().all():
                raise corrupt(self.path, f"state_dict: {name} is not finite")
        for name, progress in trainer.fit_loop.state_dict().items():
            if name.endswith("progress"):
                self.check_counters(name, progress)
        for optimizer in trainer.optimizers:
            self.check_optimizer(optimizer)

    def check_counters(self, name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                self.check_counters(f"{name}.{key}", inner)
        elif not isinstance(value, int) or value < 0:
            raise corrupt(self.path, f"loops.fit_loop.{name}: {value!r} is not a count")

    def check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                self.check_state(name, value, parameter)
        for group in optimizer.param_groups:
            for name, value in group.items():
                counts = is_number(optimizer.defaults.get(name, 0.0))  # Adam also has flags and pairs
                if name not in ("params", "name") and counts and not is_number(value):
                    raise corrupt(self.path, f"optimizer_states: {name}={value!r} is not a number")

    def check_state(self, name: str, value: Any, parameter: torch.Tensor) -> None:
        """Check the optimizer state of a parameter: tensors of its shape, and Adam's step count."""
        if not isinstance(value, torch.Tensor) or (value.dim() and value.shape != parameter.shape):
            raise corrupt(self.path, f"optimizer_states: {name} does not have the shape of its weights")
        if not value.isfinite().all():
            raise corrupt(self.path, f"optimizer_states: {name} is not finite")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
