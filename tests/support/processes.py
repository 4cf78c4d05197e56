"""Processes that communicate by gloo on one machine: forks of a server that has imported everything, which start in
one second instead of ten."""

import importlib.util
import itertools
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as torch_multiprocessing

SLOW = timedelta(minutes=5)  # on a busy machine, processes may start minutes apart
PRELOAD = [f"alexnet_pl.{name}" for name in ("cli.main", "commands.fit", "commands.evaluate", "commands.features")]
PRELOAD += ["wandb", "pandas", "pyarrow.parquet"]  # imported late by commands; takes two seconds per process
Hook = Callable[[], None]


def server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def run_processes(count: int, function: Callable[[Path], None], folder: Path) -> None:
    """Run `function(folder)` in `count` processes of one group; an error in one is raised here."""
    fork_processes(in_group, (count, free_port(), function, folder), count)


def fork_processes(function: Callable[..., None], args: tuple, count: int) -> None:
    """Run `function(rank, *args)` in `count` processes; an error in one is raised here."""
    server()
    torch_multiprocessing.start_processes(function, args, nprocs=count, start_method="forkserver")


def in_group(rank: int, count: int, port: int, function: Callable[[Path], None], folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=count, timeout=SLOW)
    function(folder)
    dist.barrier()
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def elastic(rank: int, port: int, world: int = 2) -> dict[str, str]:
    """Environment variables that torchrun sets for a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    return {**{name: str(number) for name, number in numbers.items()}, **where}


def start_command(
    words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, hook: Hook | None = None
) -> BaseProcess:
    """Start `python -m alexnet_pl WORDS` in a fork, in the folder of `log`, which receives its output. `hook` is called
    first in the fork."""
    process = server().Process(target=command, args=(list(words), log, dict(environment or {}), hook))
    process.start()
    return process


def start_ranks(words: Sequence[str], folder: Path, hook: Hook | None = None) -> list[BaseProcess]:
    """Start the command in two processes like torchrun, with output in rank0.txt and rank1.txt. `hook` is called in the
    second."""
    port = free_port()
    return [
        start_command(words, folder / f"rank{rank}.txt", elastic(rank, port), hook if rank else None)
        for rank in range(2)
    ]


def command(words: list[str], log: Path, environment: dict[str, str], hook: Hook | None) -> None:
    from alexnet_pl.cli.main import main

    torch.set_num_threads(1)
    os.environ |= {**environment, "WANDB_MODE": "offline"}
    os.chdir(log.parent)
    with log.open("a") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.argv[:] = ["alexnet_pl", *words]
    if hook:
        hook()
    main()


def be_the_program() -> None:
    """Make Lightning see this process as `python -m alexnet_pl`, which it uses to start the others."""
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("alexnet_pl.__main__")


def signal_in(target: str, number: int, call: int = 1) -> None:
    """Make this process send itself a signal at the `call`-th call of `module:name` or `module:Class.name`; it creates
    a file `signaled` just before."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), itertools.count(1)

    def signaling(*args: Any, **keys: Any) -> Any:
        if next(calls) == call:
            Path("signaled").touch()
            os.kill(os.getpid(), number)
        return original(*args, **keys)

    setattr(owner, name, signaling)


def wait_for(condition: Callable[[], Any], seconds: float) -> float:
    """Wait until `condition()` holds; returns the seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def end_all(processes: Sequence[BaseProcess], seconds: float = 300) -> list[int | None]:
    """Wait for processes and return exit codes, negative for a signal; kills those still running after `seconds`."""
    until = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes
