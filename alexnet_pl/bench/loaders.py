"""Loader throughput from stores, beside a memory copy and third-party loaders."""

import os
import time
from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet_pl.bench.third_party_loaders import BATCH, THIRD_PARTY, LoaderInputs, raw_shards, unavailable_reason
from alexnet_pl.bench.timing import BatchStream, Rate, summarize_rates
from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.data.loading.streaming import BatchBuffer, CpuBuffer, GpuDecodeBuffer, stream_batches
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store

CPU = torch.device("cpu")
DECODED = "ours, jpeg, decoded by the GPU"
COPY, RAW, JPEG, EXAMPLE = "plain copy of memory", "ours, raw", "ours, jpeg", "pytorch/examples, full JPEGs"


def loader_candidates(folder: Path, workers: int, crop: int) -> tuple[dict[str, BatchStream], dict[str, str]]:
    """Return (name → endless stream of batches of loaders that run here, name → reason why a loader does not).

    `folder`: from `fixtures.make_stores`.
    """
    raw, jpeg = (Store(folder / name).split("train") for name in ("raw", "jpeg"))
    inputs, ours = LoaderInputs(folder, workers), {RAW: raw, JPEG: jpeg}
    flows: dict[str, BatchStream] = {
        COPY: lambda: copy_batches(raw),
        **{name: lambda split=split: stream_split(split) for name, split in ours.items()},
        EXAMPLE: lambda: load_folders(folder / "photographs/train", example_transform(), workers),
        "ImageFolder, the same JPEGs": lambda: load_folders(folder / "squares", crop_transform(crop), workers),
    }
    optional: dict[str, tuple[str, BatchStream]] = {
        name: (module, lambda make=make: make(inputs)) for name, (module, make) in THIRD_PARTY.items()
    }
    if torch.cuda.is_available():
        gpu = torch.device("cuda")
        flows |= {f"{name}, to the GPU": lambda split=split: stream_split(split, gpu) for name, split in ours.items()}
        optional[DECODED] = "torchvision", lambda: stream_split(jpeg, gpu, GpuDecodeBuffer)
    missing = {name: reason for name, other in optional.items() if (reason := unavailable_reason(*other))}
    return flows | {name: flow for name, (_, flow) in optional.items() if name not in missing}, missing


def copy_batches(split: Split) -> Generator[int, None, None]:
    """Copy contiguous batches of the same size within memory."""
    buffer, shards = np.empty((BATCH, *split.shape), np.uint8), raw_shards(split)
    while True:
        for shard in shards:
            for start in range(0, len(shard), BATCH):
                block = shard[start : start + BATCH]
                np.copyto(buffer[: len(block)], block)
                yield len(block)


def stream_split(
    split: Split, device: torch.device = CPU, buffer_class: type[BatchBuffer] = CpuBuffer
) -> Generator[int, None, None]:
    """Stream batches of this package's loader over endless shuffled epochs, yielding their sizes."""
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

    normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalize]
    return transforms.Compose(steps)


def crop_transform(crop: int) -> Callable[[Any], Any]:
    from torchvision import transforms

    return transforms.Compose(
        [transforms.RandomCrop(crop), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    )


IMAGES = 4096  # maximum per round
READ_MODES = {"memory map": False, "read ahead": True}


def measure_cold_reads(root: Path, rounds: int) -> dict[str, Rate]:
    """Measure images per second from a store dropped from the page cache. The kernel may keep it in memory.

    Empty where the system cannot drop files, as macOS.
    """
    if not hasattr(os, "posix_fadvise"):
        return {}
    rates_by_name: dict[str, list[float]] = {name: [] for name in READ_MODES}
    for _ in range(rounds):
        for name, ahead in READ_MODES.items():
            drop_page_cache(root)
            rates_by_name[name].append(read_once(root, ahead))
    return {name: summarize_rates(rates) for name, rates in rates_by_name.items()}


def drop_page_cache(root: Path) -> None:
    """Drop the training images from the page cache; no process may have them mapped."""
    for path in root.glob("train-*"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_once(root: Path, ahead: bool) -> float:
    split = Store(root).split("train")
    order = epoch_order(len(split), 0, 0)[:IMAGES]
    batches = (order[start : start + BATCH] for start in range(0, len(order), BATCH))
    start, count = time.perf_counter(), 0
    for _, labels in stream_batches(split, batches, BATCH, CPU, ahead):
        count += len(labels)
    return count / (time.perf_counter() - start)
