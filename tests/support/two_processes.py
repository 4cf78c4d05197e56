"""Run commands in two processes like torchrun, and in one; tests compare the outputs."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import elastic, fork_processes, free_port, signal_in
from run_folders import Killed
from running import fit_in_seconds, last, run
from world_sizes import note_reads

from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.config import recipes
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt
from alexnet_pl.training.checkpointing import SaveClock
from alexnet_pl.training.classifier import Classifier

GROUPS = 9  # process groups used one after the other
PLAIN = ["model.dropout=0"]
BEGUN = 4  # steps until a signal ends a fit; the last one is the first of the second epoch
FITS = {"whole": [], "first": ["trainer.max_epochs=1"], "plain": PLAIN}  # in one process


def run_two_processes(store: Path, folder: Path) -> None:
    ports = [free_port() for _ in range(GROUPS)]
    fork_processes(commands, (store, folder, ports), 2)


def settings(store: Path, *more: str) -> Any:
    return recipes.compose("imagenette", [*fit_in_seconds(store), *more])


@contextmanager
def votes_at_each_step() -> Iterator[None]:
    every = GracefulInterrupt.VOTE
    GracefulInterrupt.VOTE = 1  # processes agree after each step instead of every 20
    try:
        yield
    finally:
        GracefulInterrupt.VOTE = every


@contextmanager
def interrupted() -> Iterator[None]:
    """Send SIGTERM at the start of step `BEGUN`, which the fit finishes."""
    signal_in("alexnet_pl.training.classifier:Classifier.training_step", signal.SIGTERM, call=BEGUN)
    with votes_at_each_step(), pytest.raises(SystemExit) as end:
        yield
    assert end.value.code == 128 + signal.SIGTERM


@contextmanager
def killed(rank: int) -> Iterator[None]:
    """Let the clock of the second process say that a checkpoint is due after step 2, and kill both in step 3."""
    plain = Classifier.training_step, SaveClock.is_due_within_epoch
    questions = count(1)

    def kill(self: Classifier, *args: Any) -> None:
        if self.global_step == 2:
            raise Killed
        plain[0](self, *args)

    Classifier.training_step = kill  # type: ignore[method-assign]
    SaveClock.is_due_within_epoch = lambda _: next(questions) == 2 and rank == 1  # type: ignore[method-assign]
    try:
        with votes_at_each_step(), pytest.raises(Killed):
            yield
    finally:
        Classifier.training_step, SaveClock.is_due_within_epoch = plain  # type: ignore[method-assign]


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


@contextmanager
def noted_checks(path: Path) -> Iterator[None]:
    """Write to `path` whether the processes had found each other when shards were verified."""
    noted, plain = [], Store.check_shards

    def check_shards(store: Store, split: str) -> None:
        noted.append([split, torch.distributed.is_initialized()])
        plain(store, split)

    Store.check_shards = check_shards  # type: ignore[method-assign]
    try:
        yield
    finally:
        Store.check_shards = plain  # type: ignore[method-assign]
    path.write_text(json.dumps(noted))


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
    with killed(rank):
        together("fit", "killed", *PLAIN)
    (folder / f"killed{rank}").write_text(str(read_checkpoint(last(folder / "killed"))["global_step"]))
    together("fit", "killed", *PLAIN, ckpt=last(folder / "killed"))
    together("fit", "towers", *towers, "trainer.max_epochs=1")
    together("fit", "continued by towers", *towers, ckpt=last(folder / "first"))
    with noted_checks(folder / f"test{rank}.json"):
        together("test", "towers", *towers, ckpt=last(folder / "towers"))
    with noted_checks(folder / f"features{rank}.json"):
        together("features", "ddp", *PLAIN, "+features.split=val", ckpt=last(folder / "ddp"))
    if rank == 0:
        run(settings(store), "test", folder / "towers tested by one", last(folder / "towers"))
        run(settings(store), "fit", folder / "towers, then one", last(folder / "towers"))
        with noted_reads(folder / "one0.json"):
            run(settings(store, *PLAIN), "fit", folder / "continued by one", last(folder / "begun by two"))
