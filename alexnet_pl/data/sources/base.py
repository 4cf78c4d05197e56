"""Common form of every copy of ImageNet: classes, and a stream of image records by split.

A copy of 14 million images is listed as it is read, a class at a time; no list of all images is ever in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from alexnet_pl.data.archives.location import ByteLocation


class ImageRecord(NamedTuple):
    """One image of a copy: its name there, its class index (−1: not known), and where its reader finds it."""

    name: str
    label: int
    location: ByteLocation


class LazyRecords:
    """Items listed anew each time they are asked for, so that they need not be kept."""

    def __init__(self, list_records: Callable[[], Iterable[ImageRecord]]) -> None:
        self.list_records = list_records

    def __iter__(self) -> Iterator[ImageRecord]:
        return iter(self.list_records())


@dataclass(frozen=True)
class DatasetListing:
    """Classes as (id, readable name), sorted by id; the images of each split; the benchmark's own class numbers.

    `numbers[i]` is the ILSVRC id, from 1, of class i: what ground-truth files and the test server say. They are not
    in the order of the ids. `expected`: how many images a split should have, where the copy itself says so. `missing`:
    what an incomplete copy lacks.
    """

    classes: list[tuple[str, str]]
    splits: Mapping[str, Iterable[ImageRecord]]
    numbers: list[int] | None = None
    expected: Mapping[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def items(self) -> Iterator[tuple[str, ImageRecord]]:
        """(split, image): every image once, in the order that the store will have within each split."""
        for split, items in self.splits.items():
            yield from ((split, item) for item in items)
