"""ILSVRC's detection images, 200 classes, as unpacked archives of 2013 and 2014 or in the tree of 2015 and later, whose
folder may be named ILSVRC2015 and so on.

    ILSVRC2013_DET_train/n########/*.JPEG, ILSVRC2013_DET_train_extra0 … 10/, ILSVRC2014_DET_train_0000 … 0006/
    ILSVRC2013_DET_val/, ILSVRC2013_DET_test/                          or  ILSVRC/Data/DET/{train,val,test}/**/*.JPEG
    ILSVRC2013_DET_bbox_train/, ILSVRC2013_DET_bbox_val/, or archives  or  ILSVRC/Annotations/DET/{train,val}/**/*.xml

    the kit: ILSVRC201?_devkit/ or its archive                         or  ILSVRC/devkit, ILSVRC/ImageSets/DET

The classes are those of the kit or, without a kit, the names in the validation annotations; an image's class is that of
its largest box. Every object in the validation images and in the training images of 2014 has a box. Other training
images are annotated for some classes only; the kit's lists say which images without a box were checked. 267,770
training images and 15,522 validation images also belong to ILSVRC's classification task; `test` says so of a detector.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.remote import walk_files
from alexnet_pl.data.archives.tar import TAR_SUFFIXES
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.index import BoxIndex, image_key
from alexnet_pl.data.boxes.voc_xml import FoundBoxes
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.box_files import annotated_classes, read_boxes
from alexnet_pl.data.sources.det_kit import DetKit, find_det_kit
from alexnet_pl.data.sources.image_files import is_image
from alexnet_pl.errors import UserError

TREE = "ILSVRC"
SPLITS = ("train", "val", "test")
COMPLETE = "ILSVRC2014_train_"  # prefix of training images in which every object of all classes has a box


def find_det(source: Path) -> bool:
    """Whether a folder holds the images of the detection task."""
    return source.is_dir() and bool(image_folders(source, "train") and image_folders(source, "val"))


def find_tree(source: Path) -> Path | None:
    """Folder of the layout of 2015 and later: `source` itself or ILSVRC, ILSVRC2015 … in it; None for archives."""
    candidates = (source, source / TREE, *sorted(source.glob(f"{TREE}20??")))
    return next((path for path in candidates if (path / "Data/DET").is_dir()), None)


def image_folders(source: Path, split: str) -> list[Path]:
    if tree := find_tree(source):
        return [path] if (path := tree / "Data/DET" / split).is_dir() else []
    return sorted(path for path in source.glob(f"ILSVRC201?_DET_{split}*") if path.is_dir())


def box_sources(source: Path, split: str) -> list[Path]:
    if tree := find_tree(source):
        return [path] if (path := tree / "Annotations/DET" / split).is_dir() else []
    found = sorted(source.glob(f"ILSVRC201?_DET_bbox_{split}*"))
    return [path for path in found if path.is_dir() or path.name.endswith(TAR_SUFFIXES)]


def read_det(source: Path) -> DatasetListing:
    """List a copy. Raises UserError if the training or the validation images have no boxes."""
    folders = {split: box_sources(source, split) for split in ("train", "val")}
    for split, found in folders.items():
        if not found:
            raise UserError(f"prepare.source: {source}: no boxes of {split} (ILSVRC2013_DET_bbox_{split})")
    kit = find_det_kit(source, find_tree(source) or source / TREE)
    val = [partial(read_boxes, path, 0, Coverage.ALL) for path in folders["val"]]
    train = [partial(read_train_boxes, path, kit) for path in folders["train"]]
    classes = [kit.synsets[number] for number in kit.numbers] or annotated_classes(val)
    splits = {
        split: LazyRecords(lambda split=split: list_images(source, split))
        for split in SPLITS
        if image_folders(source, split)
    }
    return DatasetListing(
        classes,
        splits,
        numbers=kit.numbers or None,
        expected=kit.count_images(),
        optional=("test",),  # a separate download since 2015, which may be that of another year
        boxes=partial(BoxIndex.read, *train, *val),
        unannotated=partial(unannotated_coverage, kit),
    )


def read_train_boxes(path: Path, kit: DetKit) -> Iterator[FoundBoxes]:
    for found in read_boxes(path, 0, Coverage.PARTIAL):
        yield found._replace(coverage=train_coverage(found.key, kit))


def train_coverage(key: str, kit: DetKit) -> Coverage:
    """Coverage of a training image with boxes."""
    if key.startswith(COMPLETE):
        return Coverage.ALL
    return Coverage.NONE if key in kit.lists.partial else Coverage.PARTIAL


def unannotated_coverage(kit: DetKit, split: str, name: str) -> Coverage:
    """Coverage of an image without a box."""
    if split != "train":
        return Coverage.ALL if split == "val" else Coverage.NONE
    key = image_key(name)
    if key in kit.lists.negative and key not in kit.lists.partial:
        return Coverage.ABSENT
    return train_coverage(key, kit)


def list_images(source: Path, split: str) -> Iterator[ImageRecord]:
    for folder in image_folders(source, split):
        for path in sorted(filter(is_image, walk_files(folder))):
            yield ImageRecord(f"{split}/{path.relative_to(folder.parent).as_posix()}", -1, ByteLocation(path))
