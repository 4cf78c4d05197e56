"""Common listing of every copy of ImageNet: its classes, and a stream of image records per split.

A copy of 14 million images is listed class by class while it is read, so no list of all images is in memory.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.boxes.annotation import Annotation
from alexnet_pl.data.boxes.index import BoxIndex

SkippedFiles = dict[Path, Counter[str]]
"""Number of files that are not images, by folder and suffix."""


class ImageRecord(NamedTuple):
    """Image of a copy: its name, its class index (−1 if unknown), the location of its bytes, and its bounding boxes
    if a store of whole images is made."""

    name: str
    label: int
    location: ByteLocation
    annotation: Annotation | None = None


class CopyOptions(NamedTuple):
    """Options of `prepare` for some of the forms of a copy.

    names: readable class names, for forms that have none.
    synsets: for archives of all of ImageNet, a file of the wnids to use.
    val_share: fraction of the images that becomes `val`, for forms without such a split.
    allow_incomplete: accept a copy with missing files.
    first_pixel: number of an image's first pixel in annotations of VOC's layout, 1 if None.
    classified: of a copy with images for classification and for detection, take the former.
    """

    names: Mapping[str, str] = {}
    synsets: Path | None = None
    val_share: float | None = None
    allow_incomplete: bool = False
    first_pixel: int | None = None
    classified: bool = False


class LazyRecords:
    """Iterable of records that lists them again on each iteration, instead of keeping them in memory."""

    def __init__(self, list_records: Callable[[], Iterable[ImageRecord]]) -> None:
        self.list_records = list_records

    def __iter__(self) -> Iterator[ImageRecord]:
        return iter(self.list_records())


@dataclass(frozen=True)
class DatasetListing:
    """Classes and images of a copy.

    classes: (id, readable name), sorted by id.
    splits: image records by split.
    numbers: ILSVRC class number, from 1, of each class, as in ground-truth files and on the test server; these numbers
        are in another order than the ids. None for other datasets.
    expected: number of images of each split according to the copy itself, if it says so.
    class_counts: number of training images of each class, if the copy says so.
    held_out: fraction of the images that became `val` by their names, in a copy without such a split.
    missing: files that an incomplete copy lacks.
    boxes: function that reads the copy's bounding boxes, which takes time; used for a store of whole images only.
    skipped_files: files that are not images, known after the images are listed.
    unannotated: (split, image name) → `Coverage` of an image without an annotation; None if nothing is known.
    """

    classes: list[tuple[str, str]]
    splits: Mapping[str, Iterable[ImageRecord]]
    numbers: list[int] | None = None
    expected: Mapping[str, int] = field(default_factory=dict)
    class_counts: list[int] | None = None
    missing: list[str] = field(default_factory=list)
    held_out: float | None = None
    skipped_files: SkippedFiles = field(default_factory=dict)
    boxes: Callable[[], BoxIndex] | None = None
    unannotated: Callable[[str, str], int] | None = None

    def items(self) -> Iterator[tuple[str, ImageRecord]]:
        """Yield (split, record) of every image once, within each split in the order of the store."""
        for split, items in self.splits.items():
            yield from ((split, item) for item in items)
