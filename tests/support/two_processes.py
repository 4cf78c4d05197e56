"""Run commands in two processes like torchrun, and in one; tests compare the outputs."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from processes import elastic, fork_processes, free_port, signal_in
from running import fit_in_seconds, last, run
from world_sizes import note_reads

from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.config import recipes
from alexnet_pl.data.store.split import Split
from alexnet_pl.training.callbacks.resume import GracefulInterrupt

GROUPS = 7  # process groups used one after the other
PLAIN = ["model.dropout=0"]
BEGUN = 4  # steps until a signal ends a fit; the last one is the first of the second epoch
FITS = {"whole": [], "first": ["trainer.max_epochs=1"], "plain": PLAIN}  # in one process


def run_two_processes(store: Path, folder: Path) -> None:
    ports = [free_port() for _ in range(GROUPS)]
    fork_processes(commands, (store, folder, ports), 2)


def settings(store: Path, *more: str) -> Any:
    return recipes.compose("imagenette", [*fit_in_seconds(store), *more])


@contextmanager
def interrupted() -> Iterator[None]:
    """Send SIGTERM at the start of step `BEGUN`, which the fit finishes."""
    every = GracefulInterrupt.VOTE
    GracefulInterrupt.VOTE = 1  # processes agree after each step instead of every 20
    signal_in("alexnet_pl.training.classifier:Classifier.training_step", signal.SIGTERM, call=BEGUN)
    try:
        yield
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0
    finally:
        GracefulInterrupt.VOTE = every
    assert code == 128 + signal.SIGTERM


@contextmanager
def noted_reads(path: Path) -> Iterator[None]:
    """Write the numbers of the training images that this process reads to `path`, in order."""
    noted: list[Any] = []
    original = Split.read
    note_reads(noted)
    try:
        yield
    finally:
        Split.read = original  # type: ignore[method-assign]
    path.write_text(json.dumps([index for split, index, _ in noted if split == "train"]))


def commands(rank: int, store: Path, folder: Path, ports: list[int]) -> None:
    torch.set_num_threads(1)
    os.chdir(folder)
    if rank == 0:
        for name, words in FITS.items():
            run(settings(store, *words), "fit", folder / name)
        with interrupted():
            run(settings(store, *PLAIN), "fit", folder / "begun by one")
    towers = ["+trainer.strategy=towers"]
    joint = iter(ports)

    def together(command: str, name: str, *words: str, **keys: Any) -> None:
        with own_process_state():
            os.environ |= elastic(rank, next(joint))
            run(settings(store, *words), command, folder / name, **keys)

    together("fit", "ddp", *PLAIN)
    with interrupted():
        together("fit", "begun by two", *PLAIN)
    with noted_reads(folder / f"two{rank}.json"):
        together("fit", "continued by two", *PLAIN, ckpt=last(folder / "begun by one"))
    together("fit", "towers", *towers, "trainer.max_epochs=1")
    together("fit", "continued by towers", *towers, ckpt=last(folder / "first"))
    together("test", "towers", *towers, ckpt=last(folder / "towers"))
    together("features", "ddp", *PLAIN, "+features.split=val", ckpt=last(folder / "ddp"))
    if rank == 0:
        run(settings(store), "test", folder / "towers tested by one", last(folder / "towers"))
        run(settings(store), "fit", folder / "towers, then one", last(folder / "towers"))
        with noted_reads(folder / "one0.json"):
            run(settings(store, *PLAIN), "fit", folder / "continued by one", last(folder / "begun by two"))
