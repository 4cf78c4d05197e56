"""Common form of every copy of ImageNet: classes, and a stream of image records by split.

A copy of 14 million images is listed as it is read, a class at a time; no list of all images is ever in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.boxes.annotation import Annotation
from alexnet_pl.data.boxes.index import BoxIndex


class ImageRecord(NamedTuple):
    """One image of a copy: its name there, its class index (−1: not known), where its reader finds it, and its bounding
    boxes where a store of whole images is made."""

    name: str
    label: int
    place: ByteLocation
    annotation: Annotation | None = None


class LazyRecords:
    """Items listed anew each time they are asked for, so that they need not be kept."""

    def __init__(self, listed: Callable[[], Iterable[ImageRecord]]) -> None:
        self.listed = listed

    def __iter__(self) -> Iterator[ImageRecord]:
        return iter(self.listed())


@dataclass(frozen=True)
class DatasetListing:
    """Classes as (id, readable name), sorted by id; the images of each split; the benchmark's own class numbers.

    `numbers[i]` is the ILSVRC id, from 1, of class i: what ground-truth files and the test server say. They are not
    in the order of the ids. `expected`: how many images a split should have, where the copy itself says so, and
    `class_counts` how many training images each class. `missing`: files that an incomplete copy lacks. `held_out`: the
    share of the images that became `val` by their names, where the copy has no such split. `boxes`: reads the copy's
    bounding boxes, which takes time and is done for a store of whole images alone. `unannotated`: by split, the
    `Coverage` of images of which no annotation was made since they show no object.
    """

    classes: list[tuple[str, str]]
    splits: Mapping[str, Iterable[ImageRecord]]
    numbers: list[int] | None = None
    expected: Mapping[str, int] = field(default_factory=dict)
    class_counts: list[int] | None = None
    missing: list[str] = field(default_factory=list)
    held_out: float | None = None
    boxes: Callable[[], BoxIndex] | None = None
    unannotated: Mapping[str, int] = field(default_factory=dict)

    def items(self) -> Iterator[tuple[str, ImageRecord]]:
        """(split, image): every image once, in the order that the store will have within each split."""
        for split, items in self.splits.items():
            yield from ((split, item) for item in items)
