"""Processes that talk by gloo on one machine: forks of a server that has imported everything, a second each, where a
fresh Python takes ten."""

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

SLOW = timedelta(minutes=5)  # on a busy machine processes start minutes apart
PRELOAD = [f"alexnet_pl.{name}" for name in ("cli.main", "commands.fit", "commands.evaluate", "commands.features")]
PRELOAD += ["wandb", "pandas", "pyarrow.parquet"]  # which commands import late, two seconds of each process
Hook = Callable[[], None]


def server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def run_processes(count: int, function: Callable[[Path], None], folder: Path) -> None:
    """`function(folder)` in `count` processes of one group; an error of one is raised here."""
    fork_processes(in_group, (count, free_port(), function, folder), count)


def fork_processes(function: Callable[..., None], args: tuple, count: int) -> None:
    """`function(rank, *args)` in `count` processes; an error of one is raised here."""
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
    """The environment that torchrun gives a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    return {**{name: str(number) for name, number in numbers.items()}, **where}


def start_command(
    words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, hook: Hook | None = None
) -> BaseProcess:
    """`python -m alexnet_pl WORDS` in a fork, in the folder of `log`, which gets what it prints. `hook` is called there
    first."""
    process = server().Process(target=command, args=(list(words), log, dict(environment or {}), hook))
    process.start()
    return process


def start_ranks(words: Sequence[str], folder: Path, hook: Hook | None = None) -> list[BaseProcess]:
    """The command in two processes as torchrun starts them, which print to rank0.txt and rank1.txt; `hook` is the
    second's."""
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
    """Let Lightning find that this process is `python -m alexnet_pl`, as which it starts the others."""
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("alexnet_pl.__main__")


def signal_in(target: str, number: int, call: int = 1) -> None:
    """Make this process send itself a signal as `module:name` or `module:Class.name` is called for the `call`-th time,
    and write a file `signalled` just before."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), itertools.count(1)

    def signalling(*args: Any, **keys: Any) -> Any:
        if next(calls) == call:
            Path("signalled").touch()
            os.kill(os.getpid(), number)
        return original(*args, **keys)

    setattr(owner, name, signalling)


def wait_for(condition: Callable[[], Any], seconds: float) -> float:
    """Seconds until `condition()` holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def end_all(processes: Sequence[BaseProcess], seconds: float = 300) -> list[int | None]:
    """Exit codes, negative for a signal; processes that go on after `seconds` are killed."""
    until = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes
