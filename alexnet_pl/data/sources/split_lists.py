"""Images with split lists: train.txt, and val.txt or test.txt, with a line `path` or `path class` for each image.

Paths are relative to the folder of the copy, to images/ in it, or to the folder of the split, with or without a suffix.
The lists are in the copy's folder or, as in Food-101, in meta/. If a line has no class, the image's folder names it.
Classes can be numbers: if the images of each number have their own folder, as in Caffe's lists of ImageNet, the class
is named after that folder, else after the number.
"""

import errno
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.remote import parse_path
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.disk_list import DiskList
from alexnet_pl.data.sources.image_files import is_image
from alexnet_pl.data.sources.image_folder import offer_val_share
from alexnet_pl.data.sources.name_split import split_by_name
from alexnet_pl.data.sources.split_files import SPELLINGS
from alexnet_pl.data.sources.text_files import read_text
from alexnet_pl.errors import UserError

SUFFIXES = ("", ".jpg", ".jpeg", ".JPEG", ".png")
NO_CLASS = {"images", *(name for names in SPELLINGS.values() for name in names)}  # folder names that are not classes


class ListedImage(NamedTuple):
    """Image of a list: its path there, its folder ("" for none), the class in its line ("" for none), and its file."""

    path: str
    folder: str
    label: str
    file: str


def find_lists(source: Path) -> dict[str, Path]:
    """Find the lists by split; {} if there is no list of training images."""
    folders = [source, source / "meta"]
    found = {
        split: path
        for split, names in SPELLINGS.items()
        if (path := next((p for f in folders for name in names if (p := f / f"{name}.txt").is_file()), None))
    }
    return found if "train" in found else {}


def read_lists(
    source: Path, lists: Mapping[str, Path], names: Mapping[str, str], val_share: float | None = None
) -> DatasetListing:
    """List the images. `names`: readable class names by class; `val_share`: fraction of train that becomes val if there
    is no list of validation images.

    Raises UserError, naming the list and the line or image, if a list is wrong.
    """
    spools = {split: DiskList(rows(source, split, path)) for split, path in lists.items()}
    check_apart(spools, lists)
    numbers = classes_by_number(spools["train"])
    classes = sorted({class_of(row, numbers) for row in images_in(spools["train"])} - {""})
    index = {name: label for label, name in enumerate(classes)}
    for split, spool in spools.items():
        check_classes(lists[split], split, spool, index, numbers)

    def listed(split: str) -> Iterator[ImageRecord]:
        for row in images_in(spools[split]):
            label = index.get(class_of(row, numbers), -1)
            yield ImageRecord(f"{split}/{row.path}", label, ByteLocation(parse_path(row.file)))

    splits = {split: LazyRecords(lambda split=split: listed(split)) for split in spools}
    readable = [(name, names.get(name, name)) for name in classes]
    if "val" in splits:
        return DatasetListing(readable, splits)
    if val_share is None:
        raise UserError(f"prepare.source: {source} has no val.txt; {offer_val_share('train.txt')}")
    parts = split_by_name(lambda: listed("train"), val_share)
    return DatasetListing(readable, splits | parts, held_out=val_share)


def rows(source: Path, split: str, path: Path) -> Iterator[ListedImage]:
    bases = [source, source / "images", source / split]
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if text := line.strip():
            yield parse(text, bases, f"{path}, line {number}")


def parse(text: str, bases: list[Path], where: str) -> ListedImage:
    """Parse a line: a path, which may contain spaces, or a path and a class."""
    name, *label = text.rsplit(None, 1)
    readings = ((text, ""), (name, "".join(label)))
    for path, beside in reversed(readings) if is_image(Path(name)) else readings:  # each try takes up to 15 requests
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise UserError(f"prepare.source: {where}: {path} leads out of {bases[0]}")
        if file := locate(path, bases):
            folder = file.parent.name
            inner = file.parent not in bases and folder not in NO_CLASS
            return ListedImage(path, folder if inner else "", beside, str(file))
    raise UserError(
        f"prepare.source: {where}: no image {text!r} in {bases[0]} (a line is a path, or a path and a class)"
    )


def locate(path: str, bases: list[Path]) -> Path | None:
    tried = (base / f"{path}{suffix}" for suffix in SUFFIXES for base in bases)
    return next((file for file in tried if is_image(file) and file_exists(file)), None)


def file_exists(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def images_in(spool: DiskList) -> Iterator[ListedImage]:
    return (ListedImage(*row) for row in spool)


def classes_by_number(spool: DiskList) -> dict[str, str]:
    """Class name of each class number in the training list."""
    folders: dict[str, set[str]] = {}
    for row in images_in(spool):
        if row.label.isdecimal():
            folders.setdefault(row.label, set()).add(row.folder)
    own = {number: next(iter(found)) for number, found in folders.items() if len(found) == 1}
    if len(set(own.values()) - {""}) == len(folders):
        return own
    return {number: f"{int(number):05d}" for number in folders}


def class_of(row: ListedImage, numbers: Mapping[str, str]) -> str:
    return numbers.get(row.label, row.label) if row.label else row.folder


def check_classes(
    path: Path, split: str, spool: DiskList, index: Mapping[str, int], numbers: Mapping[str, str]
) -> None:
    """Raise UserError for an image without a class, except in test, or of a class without training images."""
    for row in images_in(spool):
        name = class_of(row, numbers)
        if not name and split != "test":
            raise UserError(f"prepare.source: {path}: {row.path} has no class, neither beside it nor by its folder")
        if row.label and name not in index:
            raise UserError(f"prepare.source: {path}: {row.path} is of class {name}; train.txt lists no image of it")


def check_apart(spools: Mapping[str, DiskList], lists: Mapping[str, Path]) -> None:
    """Raise UserError if an image is in the training list and in another one."""
    for split in spools.keys() - {"train"}:
        tested = {row.file for row in images_in(spools[split])}
        if both := next((row for row in images_in(spools["train"]) if row.file in tested), None):
            raise UserError(f"prepare.source: {lists['train']} and {lists[split]} both list {both.path}")
