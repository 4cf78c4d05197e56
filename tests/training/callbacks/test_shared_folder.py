"""A run folder that not all machines share is named at the start of a fit."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch.distributed as dist
from processes import run_processes

from alexnet_pl.locks import run_lock
from alexnet_pl.training.callbacks import shared_folder
from alexnet_pl.training.callbacks.shared_folder import SharedFolder


def set_up(run: Path, nodes: int) -> str:
    """What this process prints."""
    trainer: Any = SimpleNamespace(num_nodes=nodes, is_global_zero=dist.get_rank() == 0)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        SharedFolder(run).setup(trainer, trainer, "fit")
    return said.getvalue()


def start_in_folders(folder: Path) -> None:
    """In each of two processes, of which the first holds the lock of its run folder."""
    shared_folder.PATIENCE = 2.0
    rank = dist.get_rank()
    own, other = folder / "run", folder / "other"
    with run_lock(own, "fit") if rank == 0 else contextlib.nullcontext():
        assert set_up(own, 2) == ""
        assert set_up(other if rank else own, 2) == ""  # a folder named by another clock
        assert set_up(own, 1) == ""
    hidden = folder / f"disk{rank}" / "run"  # as if the path of both were that of the first
    with run_lock(hidden, "fit") if rank == 0 else contextlib.nullcontext():
        path = shared_folder.lock_path
        shared_folder.lock_path = lambda run, command: path(folder / f"disk{rank}" / run.name, command)
        said = set_up(folder / "run", 2)
    expected = f"hydra.run.dir: rank 1 does not see {folder / 'run'}, so this fit can be neither continued nor "
    assert said.startswith(expected) if rank == 0 else said == ""


def test_machine_without_the_run_folder_is_named(tmp_path: Path) -> None:
    run_processes(2, start_in_folders, tmp_path)
