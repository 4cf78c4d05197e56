"""What any form of ImageNet comes down to: classes, and images by split."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Place(NamedTuple):
    """Where an image's bytes lie: a file, or `size` bytes from `start` of an archive."""

    path: Path
    start: int = 0
    size: int | None = None

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(-1 if self.size is None else self.size)


class Item(NamedTuple):
    """One image of a copy: its name there, its class index (−1: not known), and where its reader finds it."""

    name: str
    label: int
    place: Place


class Source(NamedTuple):
    """Classes as (id, readable name), sorted by id; the images of each split; the benchmark's own class numbers.

    `numbers[i]` is the ILSVRC id, from 1, of class i: what ground-truth files and the test server say. They are not
    in the order of the ids. `reader(item, size, how)` → (3, size, size) uint8 and what was odd, where the images are
    not in files of their own.
    """

    classes: list[tuple[str, str]]
    splits: dict[str, list[Item]]
    numbers: list[int] | None = None
    reader: Callable[[Item, int, str], tuple[np.ndarray, str]] | None = None
