"""Commands in two processes as torchrun starts them, and in one; tests compare the outputs."""

import os
from pathlib import Path
from typing import Any

import torch
from processes import elastic, fork_processes, free_port
from running import fit_in_seconds, last, run

from alexnet_pl.commands.process import own_process_state
from alexnet_pl.config import recipes

GROUPS = 5  # of the two processes, one after the other
FITS = {"whole": [], "first": ["trainer.max_epochs=1"], "plain": ["model.dropout=0"]}  # in one process


def run_two_processes(store: Path, folder: Path) -> None:
    ports = [free_port() for _ in range(GROUPS)]
    fork_processes(commands, (store, folder, ports), 2)


def settings(store: Path, *more: str) -> Any:
    return recipes.compose("imagenette", [*fit_in_seconds(store), *more])


def commands(rank: int, store: Path, folder: Path, ports: list[int]) -> None:
    torch.set_num_threads(1)
    if rank == 0:
        for name, words in FITS.items():
            run(settings(store, *words), "fit", folder / name)
    towers = ["+trainer.strategy=towers"]
    joint = iter(ports)

    def together(command: str, name: str, *words: str, **keys: Any) -> None:
        with own_process_state():
            os.environ |= elastic(rank, next(joint))
            run(settings(store, *words), command, folder / name, **keys)

    together("fit", "ddp", "model.dropout=0")
    together("fit", "towers", *towers, "trainer.max_epochs=1")
    together("fit", "continued by towers", *towers, ckpt=last(folder / "first"))
    together("test", "towers", *towers, ckpt=last(folder / "towers"))
    together("features", "ddp", "model.dropout=0", "+features.split=val", ckpt=last(folder / "ddp"))
    if rank == 0:
        run(settings(store), "test", folder / "towers tested by one", last(folder / "towers"))
        run(settings(store), "fit", folder / "continued by one", last(folder / "towers"))
