"""Checkpoint files of a fit: `last.ckpt` to resume from, `previous.ckpt`, and `best.ckpt`."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from alexnet_pl.config.sections import VALIDATION_METRICS
from alexnet_pl.errors import UserError
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import LAST, PREVIOUS_NAME
from alexnet_pl.temporary_files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint I/O that replaces files atomically, without Lightning's in-memory copy (as slow as the write itself).

    The `last.ckpt` that a new one replaces stays as `previous.ckpt`, except one of the same step: a signal in a
    validation saves right after the validation did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[Path, Any] = {}  # of the files that this process has written

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint. Raises UserError if the disk is full, naming the checkpoint that still exists."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(target) as temporary:
                with temporary.open("wb") as file:
                    write_checkpoint(checkpoint, file)
                if (step := checkpoint.get("global_step")) is None or self.steps.get(target) != step:
                    link_previous(target)
            self.steps[target] = step
        except OSError as error:
            remaining = f"; {target} still holds the previous checkpoint" if target.is_file() else ""
            raise UserError(
                f"{target}: not written ({error.strerror}){remaining}; free some space, then run the same "
                "command with ckpt_path=last"
            ) from error


def write_checkpoint(checkpoint: dict[str, object], file: BinaryIO) -> None:
    """Call torch.save. A failed write, as on a full disk, raises its OSError instead of torch's RuntimeError."""
    recorder = ErrorRecordingFile(file)
    try:
        torch.save(checkpoint, recorder)  # type: ignore[arg-type]
    except RuntimeError:
        if recorder.error:
            raise recorder.error from None
        raise


class ErrorRecordingFile:
    """File wrapper that keeps the OSError of a failed write."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def link_previous(path: Path) -> None:
    """Hard-link last.ckpt as previous.ckpt before it is replaced; does nothing on file systems without hard links."""
    if path.name != Path(LAST).name or not path.is_file():
        return
    with contextlib.suppress(OSError), replacing(path.with_name(PREVIOUS_NAME)) as link:
        os.link(path, link)


def save_last(trainer: L.Trainer, path: Path) -> None:
    """Save `last.ckpt` at the end of a fit, unless the last validation has just saved it."""
    saved_step = read_checkpoint(path)["global_step"] if path.is_file() else -1
    if trainer.strategy.broadcast(saved_step) != trainer.global_step:
        trainer.save_checkpoint(path)


class RelocatableCheckpoint(ModelCheckpoint):
    """ModelCheckpoint of complete epochs that finds its files and scores after the run folder was moved."""

    @property
    def state_key(self) -> str:
        """Fixed key of the state in checkpoints, so that the class can be renamed."""
        return super().state_key.replace(type(self).__qualname__, "Checkpoint", 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state. Raises TypeError if a score is not a number."""
        for score in (state_dict["best_model_score"], state_dict["kth_value"], *state_dict["best_k_models"].values()):
            if score is not None and not isinstance(score, torch.Tensor):
                raise TypeError(f"best_model_score: {score!r} is not a score")
        folder = Path(self.dirpath or ".")
        paths = {key: self.relocate(value, folder) for key, value in state_dict.items() if key.endswith("_model_path")}
        models = {self.relocate(path, folder): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": models, "dirpath": self.dirpath})

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Skip an epoch that `trainer.max_steps` ended before its last batch, since it was not validated."""
        if trainer.is_last_batch:
            super().on_train_epoch_end(trainer, pl_module)

    @staticmethod
    def relocate(path: str, folder: Path) -> str:
        return str(folder / Path(path).name) if path else path


class SaveClock:
    """When `last.ckpt` is due: `minutes` after it was last saved, or after training started. It decides when the state
    is saved and nothing else, so results do not depend on it."""

    def __init__(self, minutes: float) -> None:
        self.minutes, self.has_saved = minutes, False
        self.since = time.monotonic()

    def start(self) -> None:
        self.since = time.monotonic()

    def note_saved(self) -> None:
        self.has_saved = True
        self.start()

    def is_due(self) -> bool:
        return time.monotonic() - self.since >= 60 * self.minutes

    def is_due_after_validation(self) -> bool:
        """A session that has not saved yet saves after its first validation, so that a full disk is noticed early."""
        return not self.has_saved or self.is_due()

    def is_due_within_epoch(self) -> bool:
        """Never with `minutes=0`, which saves after each validation, since it would save after each step."""
        return self.minutes > 0 and self.is_due()


class LastCheckpoint(RelocatableCheckpoint):
    """Saves `last.ckpt` after a validation if `clock` says that it is due: on a fast GPU an epoch takes seconds, and so
    does writing half a gigabyte. `GracefulInterrupt` saves it within long epochs."""

    def __init__(self, folder: Path, clock: SaveClock, **options: Any) -> None:
        super().__init__(folder, filename="last", monitor=None, **options)
        self.clock = clock

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.clock.start()

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        """Called by Lightning for each checkpoint that is due by its own rules."""
        if trainer.strategy.broadcast(self.clock.is_due_after_validation()):  # the processes save together
            super()._save_checkpoint(trainer, filepath)
            self.clock.note_saved()


class BestCheckpoint(RelocatableCheckpoint):
    """Saves the weights with the lowest `monitor` as `best.ckpt`; a training metric is read after each epoch.

    `epochs`: number of epochs after which the network trains on validation images too, so that their error chooses no
    network any more; None: never.
    """

    def __init__(self, folder: Path, monitor: str, epochs: int | None, **options: Any) -> None:
        of_validation = monitor in VALIDATION_METRICS
        options |= {
            "mode": "min",
            "save_weights_only": True,
            "save_on_train_epoch_end": None if of_validation else True,
        }
        super().__init__(folder, filename="best", monitor=monitor, **options)
        self.epochs = epochs if of_validation else None

    def chooses(self, trainer: L.Trainer) -> bool:
        return self.epochs is None or trainer.current_epoch < self.epochs

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.chooses(trainer):
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.chooses(trainer):
            super().on_train_epoch_end(trainer, pl_module)


def make_checkpoints(
    folder: Path, monitor: str, clock: SaveClock, *, epochs: int | None = None, validates: bool = True
) -> list[ModelCheckpoint]:
    """Callbacks that save the weights with the lowest `monitor` as `best.ckpt`, and `last.ckpt` when `clock` says that
    it is due. `epochs`: see `BestCheckpoint`; `validates`: whether there are validations to save after, not epochs."""
    options: dict[str, Any] = {"enable_version_counter": False, "auto_insert_metric_name": False}
    after_epochs = {} if validates else {"save_on_train_epoch_end": True}
    return [
        BestCheckpoint(folder, monitor, epochs, **options),
        LastCheckpoint(folder, clock, **options, **after_epochs),
    ]
