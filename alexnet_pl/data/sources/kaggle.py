"""Kaggle's imagenet-object-localization-challenge: ILSVRC-2012 with the labels in a table.

ILSVRC/Data/CLS-LOC/train/n########/*.JPEG, …/val/*.JPEG, …/test/*.JPEG
LOC_synset_mapping.txt    "n01440764 tench, Tinca tinca" a line
LOC_val_solution.csv      ImageId (without .JPEG), PredictionString: "wnid x1 y1 x2 y2" once or more
ILSVRC/ImageSets/CLS-LOC/train_cls.txt …    list of the images, one per line; optional

Either a folder, or the .zip or .tar.gz that is downloaded, with the two tables inside or beside it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives import tar
from alexnet_pl.data.archives.gzip import DiskList
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.tar import GZIP_SUFFIXES, whole_archive
from alexnet_pl.data.archives.zip import list_zip_members
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.image_folder import find_class_folders, find_images, is_image
from alexnet_pl.errors import UserError

MAPPING, SOLUTION, IMAGES = "LOC_synset_mapping.txt", "LOC_val_solution.csv", "ILSVRC/Data/CLS-LOC"
LISTS = {"train": "train_cls.txt", "test": "test.txt"}  # in ILSVRC/ImageSets/CLS-LOC; val is checked by its table


class KaggleImage(NamedTuple):
    """Image with the last parts of its path: split, folder (for training images, the class), name."""

    split: str
    folder: str
    name: str
    location: ByteLocation


class KaggleCopy(NamedTuple):
    """Content of the two tables, all images, and the number of images of each split by the copy's own lists."""

    path: Path
    mapping: str
    solution: str
    images: Callable[[], Iterable[KaggleImage]]
    expected: dict[str, int]


def find_kaggle(source: Path) -> Path | None:
    """Find the folder with the tables, or Kaggle's archive (`source` itself or in it); None if there is none."""
    if (source / MAPPING).is_file() and (source / "ILSVRC").is_dir():
        return source
    candidates = sorted(source.iterdir()) if source.is_dir() else [source]
    return next((path for path in candidates if path.name.startswith("imagenet") and is_kaggle(path)), None)


def is_kaggle(path: Path) -> bool:
    if path.suffix == ".zip":
        return next(list_zip_members(path, is_needed), None) is not None
    return path.name.endswith(GZIP_SUFFIXES) and "object" in path.name


def read_kaggle(path: Path) -> DatasetListing:
    """List a copy. Raises UserError, naming what is missing or does not agree."""
    copy = open_kaggle_folder(path) if path.is_dir() else open_kaggle_archive(path)
    lines = copy.mapping.splitlines()
    classes = sorted((wnid, words) for wnid, _, words in (line.partition(" ") for line in lines if line))
    index = {wnid: label for label, (wnid, _) in enumerate(classes)}
    if not copy.solution.startswith("ImageId,PredictionString"):
        raise UserError(f"prepare.source: {SOLUTION} of {path} does not begin with ImageId,PredictionString")
    truth = {
        row["ImageId"]: row["PredictionString"].split(" ")[0] for row in csv.DictReader(io.StringIO(copy.solution))
    }
    if unknown := set(truth.values()) - set(index):
        raise UserError(f"prepare.source: {SOLUTION}: class {min(unknown)} is not in {MAPPING}")
    check_tables(copy, set(index), set(truth))
    splits = {
        "train": LazyRecords(lambda: list_train_records(copy, index)),
        "val": sorted(
            ImageRecord(f"val/{image.name}", index[truth[Path(image.name).stem]], image.location)
            for image in images_of_split(copy, "val")
        ),
    }
    test = [ImageRecord(f"test/{each.name}", -1, each.location) for each in images_of_split(copy, "test")]
    return DatasetListing(classes, splits | ({"test": sorted(test)} if test else {}), expected=copy.expected)


def images_of_split(copy: KaggleCopy, split: str) -> Iterator[KaggleImage]:
    return (image for image in copy.images() if image.split == split)


def list_train_records(copy: KaggleCopy, index: dict[str, int]) -> Iterator[ImageRecord]:
    return (
        ImageRecord(f"train/{image.folder}/{image.name}", index[image.folder], image.location)
        for image in images_of_split(copy, "train")
    )


def check_tables(copy: KaggleCopy, classes: set[str], solution_stems: set[str]) -> None:
    folders, stems = set(), set()
    for image in copy.images():
        if image.split == "train":
            folders.add(image.folder)
        elif image.split == "val":
            stems.add(Path(image.name).stem)
    if folders != classes:
        differing = first_difference(folders, classes)
        raise UserError(f"prepare.source: {copy.path}: train and {MAPPING} do not agree on class {differing}")
    if stems != solution_stems:
        differing = first_difference(stems, solution_stems)
        raise UserError(f"prepare.source: {copy.path}: val and {SOLUTION} do not agree on image {differing}")


def first_difference(a: set[str], b: set[str]) -> str:
    return min(a ^ b)


def open_kaggle_folder(root: Path) -> KaggleCopy:
    for name in (MAPPING, SOLUTION, f"{IMAGES}/train", f"{IMAGES}/val"):
        if not (root / name).exists():
            raise UserError(f"prepare.source: {root}/{name} is missing")

    def list_tree() -> Iterator[KaggleImage]:
        for split in ("train", "val", "test"):
            folder = root / IMAGES / split
            classes = sorted(find_class_folders(folder).values()) if split == "train" else [folder]
            for class_folder in filter(Path.is_dir, classes):
                yield from (
                    KaggleImage(split, class_folder.name, path.name, ByteLocation(path))
                    for path in find_images(class_folder)
                )

    lists = {split: root / "ILSVRC/ImageSets/CLS-LOC" / name for split, name in LISTS.items()}
    expected = {split: count_lines(path.read_bytes()) for split, path in lists.items() if path.is_file()}
    return KaggleCopy(
        root, (root / MAPPING).read_text("utf-8-sig"), (root / SOLUTION).read_text("utf-8-sig"), list_tree, expected
    )


def count_lines(data: bytes) -> int:
    return sum(1 for line in data.splitlines() if line.strip())


def list_zip(path: Path) -> Iterator[tuple[str, ByteLocation]]:
    """List (path in the archive, location) of images and tables, sorted by path; kept in memory as one string each."""
    rows = [f"{name}\0{start}\0{size}" for name, start, size in list_zip_members(path, is_needed)]
    rows.sort()
    for row in rows:
        name, start, size = row.split("\0")
        yield name, ByteLocation(path, int(start), int(size), "zip")


def is_needed(name: str) -> bool:
    return is_table(name) or split_of(name) is not None


def is_table(name: str) -> bool:
    path = Path(name)
    return path.name in (MAPPING, SOLUTION) or (path.name in LISTS.values() and path.parent.name == "CLS-LOC")


def open_kaggle_archive(path: Path) -> KaggleCopy:
    entries = (
        list_zip(path)
        if path.suffix == ".zip"
        else ((m.path, m.location) for m in tar.list_members(whole_archive(path)))
    )
    listing = DiskList(entries)

    def list_archive() -> Iterator[KaggleImage]:
        for name, (archive, *location) in listing:
            if parts := split_of(name):
                yield KaggleImage(*parts, ByteLocation(Path(archive), *location))

    tables = {
        Path(name).name: ByteLocation(Path(archive), *where).read()
        for name, (archive, *where) in listing
        if is_table(name)
    }

    def table(name: str) -> str:
        return tables[name].decode("utf-8-sig") if name in tables else read_table_beside(path, name)

    expected = {split: count_lines(tables[name]) for split, name in LISTS.items() if name in tables}
    return KaggleCopy(path, table(MAPPING), table(SOLUTION), list_archive, expected)


def read_table_beside(path: Path, name: str) -> str:
    if not path.with_name(name).is_file():
        raise UserError(
            f"prepare.source: {name} is neither in {path} nor beside it; download it from the same Kaggle page"
        )
    return path.with_name(name).read_text("utf-8-sig")


def split_of(member: str) -> tuple[str, str, str] | None:
    """Split an image's path in the archive into (split, folder, name); None for any other file."""
    path = Path(member)
    parts = path.parts
    if "CLS-LOC" not in parts or "Data" not in parts or not is_image(path):
        return None
    split = parts[parts.index("CLS-LOC") + 1]
    return (split, path.parent.name, path.name) if split in ("train", "val", "test") else None
