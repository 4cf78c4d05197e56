"""Run a function in several processes that talk by gloo, on one machine."""

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

SLOW = timedelta(minutes=5)  # on a busy machine processes start minutes apart


def run_processes(count: int, function: Callable[[Path], None], folder: Path) -> None:
    """`function(folder)` in `count` processes; an error of one is raised here."""
    multiprocessing.spawn(in_group, (count, free_port(), function, folder), nprocs=count)


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
