"""Images of one value each, their number, which shows what a batch contains; and what loaders yield of them."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from alexnet_pl.data.loading.augment import Augment, Batch
from alexnet_pl.data.loading.loaders import EvalLoader, TrainLoader
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store

CPU, SIZE = torch.device("cpu"), 4
AUGMENT = Augment(size=SIZE, crop=3)
UNREADABLE = -1


def read(item: ImageRecord) -> tuple[np.ndarray, str]:
    """Image number n has the value n everywhere, so that a batch shows which images it contains."""
    if item.location == UNREADABLE:
        raise ValueError("broken on purpose")
    return np.full((3, SIZE, SIZE), item.location, dtype=np.uint8), ""


def label(number: int) -> int:
    return 7 * number % 10


def make_split(root: Path, numbers: list[int]) -> Split:
    items = [ImageRecord(f"{i}.png", label(number), number) for i, number in enumerate(numbers)]
    classes = [(f"n{i}", f"class {i}") for i in range(10)]
    prepare(DatasetListing(classes, {"train": items}), root, StoreSettings("numbers", SIZE, {}), read)
    return Store(root).split("train")


def training(split: Split, batch_size: int, seed: int = 0, **settings) -> TrainLoader:
    return TrainLoader(split, batch_size, seed, AUGMENT.draw, CPU, **settings)


Seen = tuple[list[int], list[int], list[list[int]], list[bool], list[list[float]]]


def seen(batch: Batch) -> Seen:
    """Copy of a batch's numbers, labels and draws, since the loader reuses its buffers."""
    assert batch.draws is not None
    assert (batch.images == batch.images[:, :1, :1, :1]).all(), "an image is a mixture"
    numbers = batch.images[:, 0, 0, 0].tolist()
    return numbers, batch.labels.tolist(), *(part.tolist() for part in batch.draws)


def epoch_of(loader: TrainLoader) -> list[Seen]:
    return [seen(batch) for batch in loader]


def flat(lists: Iterable[list]) -> list:
    return list(itertools.chain.from_iterable(lists))


def numbers_of(epoch: list[Seen]) -> list[int]:
    return flat(batch[0] for batch in epoch)


def counted(loader: EvalLoader) -> tuple[list[int], list[int]]:
    """Numbers and labels of the images that count, as many as there are labels."""
    numbers: list[int] = []
    labels: list[int] = []
    for batch in loader:
        assert batch.draws is None
        numbers += batch.images[: len(batch.labels), 0, 0, 0].tolist()
        labels += batch.labels.tolist()
    return numbers, labels
