"""Whole images on their way from a store to the network, beside a copy of memory and beside other programs' ways."""

from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet_pl.bench.peers import BATCH, PEERS, Place, trouble
from alexnet_pl.bench.rounds import Flow
from alexnet_pl.data.loader import Decoding, Reading, Slot, permutation, stream
from alexnet_pl.data.raw import RawReader
from alexnet_pl.data.store import Split, Store

CPU = torch.device("cpu")
DECODED = "ours, jpeg, decoded by the GPU"
COPY, RAW, JPEG, EXAMPLE = "plain copy of memory", "ours, raw", "ours, jpeg", "pytorch/examples, full JPEGs"


def feeds(folder: Path, workers: int, crop: int) -> tuple[dict[str, Flow], dict[str, str]]:
    """Endless flows of batches, and the other programs that do not run here, with the reason.

    `folder` holds the stores raw and jpeg, class folders of full-size photographs/train, and in squares/ the images of
    the jpeg store as files.
    """
    raw, jpeg = (Store(folder / name).split("train") for name in ("raw", "jpeg"))
    place = Place(folder, workers)
    flows: dict[str, Flow] = {
        COPY: lambda: copied(raw),
        RAW: lambda: streamed(raw),
        JPEG: lambda: streamed(jpeg),
        EXAMPLE: lambda: folders(folder / "photographs/train", example(), workers),
        "ImageFolder, the same JPEGs": lambda: folders(folder / "squares", small(crop), workers),
    }
    others: dict[str, tuple[str, Flow]] = {
        name: (module, lambda make=make: make(place)) for name, (module, make) in PEERS.items()
    }
    if torch.cuda.is_available():
        others[DECODED] = "torchvision", lambda: streamed(jpeg, torch.device("cuda"), Decoding)
    missing = {name: reason for name, other in others.items() if (reason := trouble(*other))}
    return flows | {name: flow for name, (_, flow) in others.items() if name not in missing}, missing


def copied(split: Split) -> Generator[int, None, None]:
    """As many bytes, in batches that lie in a row, from one place in memory to another."""
    assert isinstance(split.images, RawReader)
    room = np.empty((BATCH, *split.shape), np.uint8)
    while True:
        for shard in split.images.shards:
            for start in range(0, len(shard), BATCH):
                some = shard[start : start + BATCH]
                np.copyto(room[: len(some)], some)
                yield len(some)


def streamed(split: Split, device: torch.device = CPU, room: type[Slot] = Reading) -> Generator[int, None, None]:
    """Our loader, in the order of one epoch after the other."""
    orders = (permutation(len(split), 0, epoch) for epoch in count())
    batches = (order[start : start + BATCH] for order in orders for start in range(0, len(order), BATCH))
    for _, labels in stream(split, batches, BATCH, device, room=room):
        yield len(labels)


def folders(root: Path, transform: Callable[[Any], Any], workers: int) -> Generator[int, None, None]:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    images = ImageFolder(str(root), transform)
    loader = DataLoader(images, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    while True:
        yield from (len(labels) for _, labels in loader)


def example() -> Callable[[Any], Any]:
    """The transform of pytorch/examples' ImageNet script."""
    from torchvision import transforms

    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalise]
    return transforms.Compose(steps)


def small(crop: int) -> Callable[[Any], Any]:
    from torchvision import transforms

    return transforms.Compose(
        [transforms.RandomCrop(crop), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    )
