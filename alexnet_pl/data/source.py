"""What any form of ImageNet comes down to: classes, and a stream of images by split.

A copy of 14 million images is listed as it is read, a class at a time; no list of all images is ever in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.packed import open_packed, read_plain
from alexnet_pl.data.tables import read_row
from alexnet_pl.data.zips import read_member


class Place(NamedTuple):
    """Where an image's bytes lie: a file, or `size` bytes from `start` of an archive's content.

    `packed` says how that content is compressed: "" not at all, "gzip" as a whole, "zip" for a file of such an archive,
    whose own header is at `start`, or "parquet" for row `start` of a table. "planes" is no compression: the bytes are a
    square image's pixels, red, green and blue one after the other.
    """

    path: Path
    start: int = 0
    size: int | None = None
    packed: str = ""

    def read(self) -> bytes:
        """Raises OSError where the file is gone, or shorter than it was when it was listed; ValueError where a checksum
        beside the image is another."""
        if self.packed == "parquet":
            return read_row(self.path, self.start)
        if self.packed == "zip":
            data = read_member(self.path, self.start, self.size or 0)
        elif self.packed:
            with open_packed(self.path, self.packed) as file:
                file.seek(self.start)
                data = file.read(-1 if self.size is None else self.size)
        else:
            data = read_plain(self.path, self.start, self.size)
        if self.size is not None and len(data) < self.size:
            raise OSError(f"{self.path}: shorter than it was when it was listed")
        return data


class Item(NamedTuple):
    """One image of a copy: its name there, its class index (−1: not known), and where its reader finds it."""

    name: str
    label: int
    place: Place


class Listing:
    """Items listed anew each time they are asked for, so that they need not be kept."""

    def __init__(self, listed: Callable[[], Iterable[Item]]) -> None:
        self.listed = listed

    def __iter__(self) -> Iterator[Item]:
        return iter(self.listed())


@dataclass(frozen=True)
class Source:
    """Classes as (id, readable name), sorted by id; the images of each split; the benchmark's own class numbers.

    `numbers[i]` is the ILSVRC id, from 1, of class i: what ground-truth files and the test server say. They are not
    in the order of the ids. `expected`: how many images a split should have, where the copy itself says so.
    """

    classes: list[tuple[str, str]]
    splits: Mapping[str, Iterable[Item]]
    numbers: list[int] | None = None
    expected: Mapping[str, int] = field(default_factory=dict)

    def items(self) -> Iterator[tuple[str, Item]]:
        """(split, image): every image once, in the order that the store will have within each split."""
        for split, items in self.splits.items():
            yield from ((split, item) for item in items)
