"""Kaggle's imagenet-object-localization-challenge: ILSVRC-2012 in a tree of its own, labels in a table.

ILSVRC/Data/CLS-LOC/train/n########/*.JPEG, …/val/*.JPEG, …/test/*.JPEG
LOC_synset_mapping.txt    "n01440764 tench, Tinca tinca" a line
LOC_val_solution.csv      ImageId (without .JPEG), PredictionString: "wnid x1 y1 x2 y2" once or more
Boxes, which only a store of whole images takes: kaggle_boxes.py
ILSVRC/ImageSets/CLS-LOC/train_cls.txt …    the images that there should be, a line each; not needed

As a folder, or in the one .zip or .tar.gz it is downloaded as; the two tables lie in the archive or beside it. Without
LOC_synset_mapping.txt, which only adds readable names, the classes are those of LOC_val_solution.csv.
"""

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives import tar
from alexnet_pl.data.archives.gzip import DiskList
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.tar import GZIPPED, WNID, is_complete
from alexnet_pl.data.archives.zip import members
from alexnet_pl.data.boxes.index import BoxIndex
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.image_folder import class_folders, images, is_image
from alexnet_pl.data.sources.kaggle_boxes import read_kaggle_boxes
from alexnet_pl.errors import UserError

MAPPING, SOLUTION, IMAGES = "LOC_synset_mapping.txt", "LOC_val_solution.csv", "ILSVRC/Data/CLS-LOC"
LISTS = {"train": "train_cls.txt", "test": "test.txt"}  # of ILSVRC/ImageSets/CLS-LOC; val's is as long as its table


class Found(NamedTuple):
    """An image by the last parts of its path: split, folder (that of a training image is its class), name."""

    split: str
    folder: str
    name: str
    place: ByteLocation


class Copy(NamedTuple):
    """The two tables (`mapping` may be None), all images of the tree, and how many its own lists tell of."""

    where: Path
    mapping: str | None
    solution: str
    found: Callable[[], Iterable[Found]]
    expected: dict[str, int]


def find_kaggle(source: Path) -> Path | None:
    """The folder with the tables, or Kaggle's archive: the file itself, or in the folder."""
    if (source / IMAGES).is_dir() or ((source / MAPPING).is_file() and (source / "ILSVRC").is_dir()):
        return source
    inside = sorted(source.iterdir()) if source.is_dir() else [source]
    return next((path for path in inside if path.name.startswith("imagenet") and is_kaggle(path)), None)


def is_kaggle(path: Path) -> bool:
    if path.suffix == ".zip":
        return next(members(path, is_of_use), None) is not None
    return path.name.endswith(GZIPPED) and "object" in path.name


def read_kaggle(path: Path) -> DatasetListing:
    """Raises UserError that names what is missing or does not agree."""
    copy = from_folder(path) if path.is_dir() else from_archive(path)
    if not copy.solution.startswith("ImageId,PredictionString"):
        raise UserError(f"prepare.source: {SOLUTION} of {path} does not begin with ImageId,PredictionString")
    truth = {
        row["ImageId"]: (row["PredictionString"] or "").split(" ")[0]
        for row in csv.DictReader(io.StringIO(copy.solution))
    }
    classes = classes_of(copy, truth)
    index = {wnid: label for label, (wnid, _) in enumerate(classes)}
    if unknown := set(truth.values()) - set(index):
        raise UserError(f"prepare.source: {SOLUTION}: class {min(unknown)} is not in {MAPPING}")
    check(copy, set(index), truth)
    val = sorted(ImageRecord(f"val/{e.name}", index[truth[Path(e.name).stem]], e.place) for e in of(copy, "val"))
    splits: dict[str, Iterable[ImageRecord]] = {"train": LazyRecords(lambda: train(copy, index)), "val": val}
    test = [ImageRecord(f"test/{each.name}", -1, each.place) for each in of(copy, "test")]
    splits |= {"test": sorted(test)} if test else {}
    boxes = partial(BoxIndex.read, partial(read_kaggle_boxes, path, copy.solution))
    return DatasetListing(classes, splits, expected=copy.expected, boxes=boxes)


def classes_of(copy: Copy, truth: Mapping[str, str]) -> list[tuple[str, str]]:
    """(wnid, words) in the order of the wnids."""
    if copy.mapping is None:
        note = f"without {MAPPING}: the classes are those of {SOLUTION}, named by their WordNet ids"
        print(f"{copy.where}: {note}", file=sys.stderr, flush=True)
        return [(wnid, wnid) for wnid in sorted(set(truth.values()))]
    rows = (line.partition(" ") for line in copy.mapping.splitlines() if line)
    return sorted((wnid, words) for wnid, _, words in rows)


def of(copy: Copy, split: str) -> Iterator[Found]:
    return (each for each in copy.found() if each.split == split)


def train(copy: Copy, index: dict[str, int]) -> Iterator[ImageRecord]:
    return (ImageRecord(f"train/{e.folder}/{e.name}", index[e.folder], e.place) for e in of(copy, "train"))


def check(copy: Copy, classes: set[str], truth: Mapping[str, str]) -> None:
    folders, stems, validated = set(), set(), set(truth)
    for each in copy.found():
        stem = Path(each.name).stem
        if each.split == "train":
            folders.add(each.folder)
        elif each.split == "val":
            stems.add(stem)
            if WNID.fullmatch(each.folder) and each.folder != truth.get(stem, each.folder):
                where = f"{copy.where}: {each.name} is in {each.folder}"
                raise UserError(f"prepare.source: {where}, but {SOLUTION} says {truth[stem]}")
    if folders != classes:
        table = SOLUTION if copy.mapping is None else MAPPING
        raise UserError(
            f"prepare.source: {copy.where}: train and {table} do not agree on class {odd(folders, classes)}"
        )
    if stems != validated:
        raise UserError(
            f"prepare.source: {copy.where}: val and {SOLUTION} do not agree on image {odd(stems, validated)}"
        )


def odd(one: set[str], other: set[str]) -> str:
    return min(one ^ other)


def from_folder(root: Path) -> Copy:
    for name in (f"{IMAGES}/train", f"{IMAGES}/val"):
        if not (root / name).is_dir():
            raise UserError(f"prepare.source: {root}/{name} is missing")

    def found() -> Iterator[Found]:
        for split in ("train", "val", "test"):
            folder = root / IMAGES / split
            if split == "train":
                paths = (path for each in sorted(class_folders(folder).values()) for path in images(each))
            else:  # flat, or sorted into class folders by its owner
                paths = filter(is_image, sorted(folder.rglob("*.*")))
            yield from (Found(split, path.parent.name, path.name, ByteLocation(path)) for path in paths)

    lists = {split: root / "ILSVRC/ImageSets/CLS-LOC" / name for split, name in LISTS.items()}
    expected = {split: lines(path.read_bytes()) for split, path in lists.items() if path.is_file()}
    return Copy(root, read_table(root / MAPPING), required(read_table(root / SOLUTION), root), found, expected)


def lines(data: bytes) -> int:
    return sum(1 for line in data.splitlines() if line.strip())


def from_zip(path: Path) -> Iterator[tuple[str, ByteLocation]]:
    """(path in the archive, where it lies) of the images and tables, by path: a text each, of two million at most."""
    rows = [f"{name}\0{start}\0{size}" for name, start, size in members(path, is_of_use)]
    rows.sort()
    for row in rows:
        name, start, size = row.split("\0")
        yield name, ByteLocation(path, int(start), int(size), "zip")


def is_of_use(name: str) -> bool:
    return is_table(name) or split_of(name) is not None


def is_table(name: str) -> bool:
    path = Path(name)
    return path.name in (MAPPING, SOLUTION) or (path.name in LISTS.values() and path.parent.name == "CLS-LOC")


def from_archive(path: Path) -> Copy:
    inside = from_zip(path) if path.suffix == ".zip" else ((m.path, m.place) for m in tar.members(is_complete(path)))
    listing = DiskList(inside)

    def found() -> Iterator[Found]:
        for name, (archive, *where) in listing:
            if known := split_of(name):
                yield Found(*known, ByteLocation(Path(archive), *where))

    tables = {
        Path(at).name: ByteLocation(Path(archive), *where).read() for at, (archive, *where) in listing if is_table(at)
    }

    def table(name: str) -> str | None:
        return text(tables[name], f"{path}: {name}") if name in tables else read_table(path.with_name(name))

    expected = {split: lines(tables[name]) for split, name in LISTS.items() if name in tables}
    return Copy(path, table(MAPPING), required(table(SOLUTION), path), found, expected)


def read_table(path: Path) -> str | None:
    return text(path.read_bytes(), str(path)) if path.is_file() else None


def text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"prepare.source: {where}: not a text ({error}); get it again") from error


def required(solution: str | None, where: Path) -> str:
    if solution is None:
        raise UserError(
            f"prepare.source: {where} has no {SOLUTION}, which tells the classes of the validation images, nor is it "
            "beside it; download it from the Data page of the same competition of Kaggle"
        )
    return solution


def split_of(inside: str) -> tuple[str, str, str] | None:
    """(split, folder, name) of an image's path in the archive; None for any other file."""
    path = Path(inside)
    parts = path.parts
    if "CLS-LOC" not in parts or "Data" not in parts or not is_image(path):
        return None
    split = parts[parts.index("CLS-LOC") + 1]
    return (split, path.parent.name, path.name) if split in ("train", "val", "test") else None
