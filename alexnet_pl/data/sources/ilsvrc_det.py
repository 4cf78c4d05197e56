"""ILSVRC's detection images, 200 classes, as unpacked archives of 2013 and 2014 or in the tree of 2015 and later.

    ILSVRC2013_DET_train/n########/*.JPEG, ILSVRC2013_DET_train_extra0 … 10/, ILSVRC2014_DET_train_0000 … 0006/
    ILSVRC2013_DET_val/, ILSVRC2013_DET_test/                          or  ILSVRC/Data/DET/{train,val,test}/**/*.JPEG
    ILSVRC2013_DET_bbox_train/, ILSVRC2013_DET_bbox_val/, or archives  or  ILSVRC/Annotations/DET/{train,val}/**/*.xml

The classes are the names that the validation annotations have, sorted; an image's class is that of its largest box.
Every object of the validation images has a box. Training images are annotated for some classes only, and an image
without annotation, such as all of the `extra` ones, is one in which some class was looked for and not found: their
coverage is partial. Some training and validation images are those of ILSVRC's classification task, too.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.index import BoxIndex
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.box_files import TARS, read_boxes
from alexnet_pl.data.sources.image_folder import is_image
from alexnet_pl.errors import UserError

TREE = "ILSVRC"
COVERAGE = {"train": Coverage.PARTIAL, "val": Coverage.ALL, "test": Coverage.NONE}


def find_det(source: Path) -> bool:
    """Whether a folder holds the images of the detection task."""
    return source.is_dir() and bool(image_folders(source, "train") and image_folders(source, "val"))


def image_folders(source: Path, split: str) -> list[Path]:
    inside = source / TREE / "Data/DET" / split
    return (
        [inside]
        if inside.is_dir()
        else sorted(path for path in source.glob(f"ILSVRC201?_DET_{split}*") if path.is_dir())
    )


def box_places(source: Path, split: str) -> list[Path]:
    inside = source / TREE / "Annotations/DET" / split
    found = [inside] if inside.is_dir() else sorted(source.glob(f"ILSVRC201?_DET_bbox_{split}*"))
    return [path for path in found if path.is_dir() or path.name.endswith(TARS)]


def read_det(source: Path) -> DatasetListing:
    """Raises UserError where the validation images have no boxes, which name the classes."""
    places = {split: box_places(source, split) for split in ("train", "val")}
    for split, found in places.items():
        if not found:
            raise UserError(f"prepare.source: {source}: no boxes of {split} (ILSVRC2013_DET_bbox_{split})")
    readers = [partial(read_boxes, path, 0, COVERAGE[split]) for split, found in places.items() for path in found]
    val = [partial(read_boxes, path, 0, Coverage.ALL) for path in places["val"]]
    names = sorted({box.name for read in val for found in read() for box in found.boxes})
    splits = {
        split: LazyRecords(lambda split=split: list_images(source, split))
        for split in COVERAGE
        if image_folders(source, split)
    }
    return DatasetListing(
        [(name, name) for name in names],
        splits,
        boxes=partial(BoxIndex.read, *readers),
        unannotated={split: coverage for split, coverage in COVERAGE.items() if coverage},
    )


def list_images(source: Path, split: str) -> Iterator[ImageRecord]:
    for folder in image_folders(source, split):
        for path in sorted(filter(is_image, folder.rglob("*.*"))):
            yield ImageRecord(f"{split}/{path.relative_to(folder.parent).as_posix()}", -1, ByteLocation(path))
