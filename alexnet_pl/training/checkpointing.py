"""Checkpoints that a fit writes: `last.ckpt` after each validation, `best.ckpt`."""

import contextlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from alexnet_pl.errors import UserError
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import LAST, PREVIOUS_NAME


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint I/O without Lightning's in-memory copy, which takes as long as the write. A reader finds the old file
    or the new one, and the `last.ckpt` that a new one replaces stays as `previous.ckpt`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises UserError, naming the checkpoint that is left, if the disk is full."""
        to = Path(path)
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f"{to.name}.part")
        try:
            with part.open("wb") as file:
                write_checkpoint(checkpoint, file)
            keep_previous(to)
            part.replace(to)
        except OSError as error:
            left = f"; {to} is the one before, whole" if to.is_file() else ""
            raise UserError(f"{to}: not written ({error.strerror}){left}; free space, then ckpt_path=last") from error
        finally:
            part.unlink(missing_ok=True)


def write_checkpoint(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    """torch.save, whose writer turns an error of the file, such as a full disk, into a RuntimeError of its own."""
    recorder = ErrorRecorder(file)
    try:
        torch.save(checkpoint, recorder)  # type: ignore[arg-type]
    except RuntimeError:
        if recorder.error:
            raise recorder.error from None
        raise


class ErrorRecorder:
    """A file that remembers why it could not be written."""

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


def keep_previous(path: Path) -> None:
    """Give last.ckpt the further name previous.ckpt before another file takes its name; skipped on file systems
    without hard links."""
    if path.name != Path(LAST).name or not path.is_file():
        return
    link = path.with_name(f"{PREVIOUS_NAME}.tmp")
    with contextlib.suppress(OSError):
        link.unlink(missing_ok=True)
        os.link(path, link)
        link.replace(path.with_name(PREVIOUS_NAME))
        link.unlink(missing_ok=True)  # a rename onto another name of the same file leaves both (POSIX)


def keep_last(trainer: L.Trainer, path: Path, began: int) -> None:
    """`last.ckpt` is written by validations; where a fit ends without one, it must hold the end all the same."""
    there = read_checkpoint(path)["global_step"] if path.is_file() else -1
    if trainer.strategy.broadcast(there) != trainer.global_step:
        trainer.save_checkpoint(path)


class RelocatableCheckpoint(ModelCheckpoint):
    """Lightning's, that knows its earlier files and scores again after the run folder was moved."""

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints, kept whatever the class is called."""
        return super().state_key.replace(type(self).__qualname__, "Checkpoint", 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises TypeError for a score that is no number."""
        for score in (state_dict["best_model_score"], state_dict["kth_value"], *state_dict["best_k_models"].values()):
            if score is not None and not isinstance(score, torch.Tensor):
                raise TypeError(f"best_model_score: {score!r} is no score")
        folder = Path(self.dirpath or ".")
        here = {key: self.moved(value, folder) for key, value in state_dict.items() if key.endswith("_model_path")}
        models = {self.moved(path, folder): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **here, "best_k_models": models, "dirpath": self.dirpath})

    @staticmethod
    def moved(path: str, folder: Path) -> str:
        return str(folder / Path(path).name) if path else path


def make_checkpoints(folder: Path, monitor: str) -> list[ModelCheckpoint]:
    """`last.ckpt` after every validation, to go on from, and `best.ckpt`, the weights of the lowest error so far."""
    same: dict[str, Any] = {"dirpath": folder, "enable_version_counter": False, "auto_insert_metric_name": False}
    return [
        RelocatableCheckpoint(filename="best", monitor=monitor, mode="min", save_weights_only=True, **same),
        RelocatableCheckpoint(filename="last", monitor=None, **same),
    ]
