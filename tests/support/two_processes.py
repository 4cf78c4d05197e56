"""Commands in two processes as torchrun starts them, and in one; what they leave is compared by the tests."""

import os
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as multiprocessing
from processes import free_port
from running import last, run

from alexnet_pl.commands.process import own_process_state
from alexnet_pl.config import recipes

GROUPS = 5  # of the two processes, one after the other
FITS = {"whole": [], "first": ["trainer.max_epochs=1"], "plain": ["model.dropout=0"]}  # in one process


def run_two_processes(store: Path, folder: Path) -> None:
    ports = [free_port() for _ in range(GROUPS)]
    multiprocessing.spawn(commands, (store, folder, ports), nprocs=2)


def settings(store: Path, *more: str) -> Any:
    """Two epochs of three steps in float32, with dropout."""
    words = ["data.name=tiny", f"data.root={store}", "data.size=72", "data.batch_size=16", "augment.crop=67"]
    words += ["logger=csv", "performance.compile=false", "trainer.max_epochs=2", "trainer.log_every_n_steps=1"]
    words += ["trainer.precision=32-true", "trainer.accelerator=cpu", "+trainer.limit_train_batches=3"]
    words += ["test.views=center", "optim.lr=0.001", "+trainer.enable_progress_bar=false"]
    return recipes.compose("imagenette", [*words, *more])


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


def elastic(rank: int, port: int) -> dict[str, str]:
    """The environment that torchrun gives a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    return {**{name: str(number) for name, number in numbers.items()}, **where}
