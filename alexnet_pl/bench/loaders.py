"""Throughput of loading whole images from a store, beside a plain memory copy and third-party loaders."""

import os
import time
from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet_pl.bench.third_party_loaders import BATCH, PEERS, Place, unavailable_reason
from alexnet_pl.bench.timing import Flow, Rate, rate
from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.data.loading.streaming import BatchBuffer, CpuBuffer, GpuDecodeBuffer, stream_batches
from alexnet_pl.data.store.raw import RawReader
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store

CPU = torch.device("cpu")
DECODED = "ours, jpeg, decoded by the GPU"
COPY, RAW, JPEG, EXAMPLE = "plain copy of memory", "ours, raw", "ours, jpeg", "pytorch/examples, full JPEGs"


def loader_candidates(folder: Path, workers: int, crop: int) -> tuple[dict[str, Flow], dict[str, str]]:
    """Endless flows of batches, and the other programs that do not run here, with the reason.

    `folder` holds the stores raw and jpeg, class folders of full-size photographs/train, and in squares/ the images of
    the jpeg store as files.
    """
    raw, jpeg = (Store(folder / name).split("train") for name in ("raw", "jpeg"))
    place = Place(folder, workers)
    flows: dict[str, Flow] = {
        COPY: lambda: copy_batches(raw),
        RAW: lambda: stream_split(raw),
        JPEG: lambda: stream_split(jpeg),
        EXAMPLE: lambda: load_folders(folder / "photographs/train", example_transform(), workers),
        "ImageFolder, the same JPEGs": lambda: load_folders(folder / "squares", crop_transform(crop), workers),
    }
    others: dict[str, tuple[str, Flow]] = {
        name: (module, lambda make=make: make(place)) for name, (module, make) in PEERS.items()
    }
    if torch.cuda.is_available():
        others[DECODED] = "torchvision", lambda: stream_split(jpeg, torch.device("cuda"), GpuDecodeBuffer)
    missing = {name: reason for name, other in others.items() if (reason := unavailable_reason(*other))}
    return flows | {name: flow for name, (_, flow) in others.items() if name not in missing}, missing


def copy_batches(split: Split) -> Generator[int, None, None]:
    """As many bytes, in batches that lie in a row, from one place in memory to another."""
    assert isinstance(split.reader, RawReader)
    buffer = np.empty((BATCH, *split.shape), np.uint8)
    while True:
        for shard in split.reader.shards:
            for start in range(0, len(shard), BATCH):
                block = shard[start : start + BATCH]
                np.copyto(buffer[: len(block)], block)
                yield len(block)


def stream_split(
    split: Split, device: torch.device = CPU, buffer_class: type[BatchBuffer] = CpuBuffer
) -> Generator[int, None, None]:
    """Our loader, in the order of one epoch after the other."""
    orders = (epoch_order(len(split), 0, epoch) for epoch in count())
    batches = (order[start : start + BATCH] for order in orders for start in range(0, len(order), BATCH))
    for _, labels in stream_batches(split, batches, BATCH, device, buffer_class=buffer_class):
        yield len(labels)


def load_folders(root: Path, transform: Callable[[Any], Any], workers: int) -> Generator[int, None, None]:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    images = ImageFolder(str(root), transform)
    loader = DataLoader(images, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    while True:
        yield from (len(labels) for _, labels in loader)


def example_transform() -> Callable[[Any], Any]:
    """The transform of pytorch/examples' ImageNet script."""
    from torchvision import transforms

    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalise]
    return transforms.Compose(steps)


def crop_transform(crop: int) -> Callable[[Any], Any]:
    from torchvision import transforms

    return transforms.Compose(
        [transforms.RandomCrop(crop), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    )


IMAGES = 4096  # at most, a round
READ_MODES = {"memory map": False, "read ahead": True}


def measure_cold_reads(root: Path, rounds: int) -> dict[str, Rate]:
    """Images a second. Where the kernel does not forget a file when asked to, both read from memory."""
    rates: dict[str, list[float]] = {name: [] for name in READ_MODES}
    for _ in range(rounds):
        for name, ahead in READ_MODES.items():
            drop_page_cache(root)
            rates[name].append(read_once(root, ahead))
    return {name: rate(rates) for name, rates in rates.items()}


def drop_page_cache(root: Path) -> None:
    """Drop the training images from the kernel's cache; nobody must have them mapped."""
    for path in root.glob("train-*"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_once(root: Path, ahead: bool) -> float:
    split = Store(root).split("train")
    order = epoch_order(len(split), 0, 0)[:IMAGES]
    batches = (order[start : start + BATCH] for start in range(0, len(order), BATCH))
    began, count = time.perf_counter(), 0
    for _, labels in stream_batches(split, batches, BATCH, torch.device("cpu"), ahead):
        count += len(labels)
    return count / (time.perf_counter() - began)
