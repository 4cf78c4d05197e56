"""A store that no memory holds yet, read in an epoch's order: by the bare memory map, and with later batches asked for
early."""

import os
import time
from pathlib import Path

import torch

from alexnet_pl.bench.peers import BATCH
from alexnet_pl.bench.rounds import Rate, rate
from alexnet_pl.data.loader import permutation, stream
from alexnet_pl.data.store import Store

IMAGES = 4096  # at most, a round
WAYS = {"memory map": False, "read ahead": True}


def measure(root: Path, rounds: int) -> dict[str, Rate]:
    """Images a second. Where the kernel does not forget a file when asked to, both read from memory."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, ahead in WAYS.items():
            forget(root)
            found[name].append(once(root, ahead))
    return {name: rate(rates) for name, rates in found.items()}


def forget(root: Path) -> None:
    """Drop the training images from the kernel's cache; nobody must have them mapped."""
    for path in root.glob("train-*"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def once(root: Path, ahead: bool) -> float:
    split = Store(root).split("train")
    order = permutation(len(split), 0, 0)[:IMAGES]
    batches = (order[start : start + BATCH] for start in range(0, len(order), BATCH))
    began, count = time.perf_counter(), 0
    for _, labels in stream(split, batches, BATCH, torch.device("cpu"), ahead):
        count += len(labels)
    return count / (time.perf_counter() - began)
