"""Kaggle's imagenet-object-localization-challenge: ILSVRC-2012 in a tree of its own, labels in a table.

ILSVRC/Data/CLS-LOC/train/n########/*.JPEG, …/val/*.JPEG, …/test/*.JPEG
LOC_synset_mapping.txt    "n01440764 tench, Tinca tinca" a line
LOC_val_solution.csv      ImageId (without .JPEG), PredictionString: "wnid x1 y1 x2 y2" once or more
LOC_train_solution.csv    the same of the training images that have boxes; not needed
ILSVRC/Annotations/CLS-LOC/{train/n########,val}/*.xml    the boxes with the images' sizes; used before the tables
ILSVRC/ImageSets/CLS-LOC/train_cls.txt …    the images that there should be, a line each; not needed

As a folder, or in the one .zip or .tar.gz it is downloaded as; the two tables lie in the archive or beside it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives import tar
from alexnet_pl.data.archives.gzip import DiskList
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.tar import GZIPPED, is_complete
from alexnet_pl.data.archives.zip import members
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.index import BoxIndex, image_key
from alexnet_pl.data.boxes.voc_xml import FoundBoxes, parse_voc
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.box_files import read_boxes, read_table, xml_files
from alexnet_pl.data.sources.image_folder import class_folders, images, is_image
from alexnet_pl.errors import UserError

MAPPING, SOLUTION, IMAGES = "LOC_synset_mapping.txt", "LOC_val_solution.csv", "ILSVRC/Data/CLS-LOC"
TRAIN_SOLUTION, ANNOTATIONS = "LOC_train_solution.csv", "ILSVRC/Annotations/CLS-LOC"
SOLUTIONS = {"train": TRAIN_SOLUTION, "val": SOLUTION}
LISTS = {"train": "train_cls.txt", "test": "test.txt"}  # of ILSVRC/ImageSets/CLS-LOC; val's is as long as its table


class Found(NamedTuple):
    """An image by the last parts of its path: split, folder (that of a training image is its class), name."""

    split: str
    folder: str
    name: str
    place: ByteLocation


class Copy(NamedTuple):
    """The two tables, all images of the tree, how many its own lists tell of, and what reads its boxes."""

    where: Path
    mapping: str
    solution: str
    found: Callable[[], Iterable[Found]]
    expected: dict[str, int]
    boxes: Callable[[], Iterator[FoundBoxes]]


def find_kaggle(source: Path) -> Path | None:
    """The folder with the tables, or Kaggle's archive: the file itself, or in the folder."""
    if (source / MAPPING).is_file() and (source / "ILSVRC").is_dir():
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
    check(copy, set(index), set(truth))
    splits = {
        "train": LazyRecords(lambda: train(copy, index)),
        "val": sorted(
            ImageRecord(f"val/{each.name}", index[truth[Path(each.name).stem]], each.place) for each in of(copy, "val")
        ),
    }
    test = [ImageRecord(f"test/{each.name}", -1, each.place) for each in of(copy, "test")]
    return DatasetListing(
        classes,
        splits | ({"test": sorted(test)} if test else {}),
        expected=copy.expected,
        boxes=lambda: BoxIndex(copy.boxes()),
    )


def of(copy: Copy, split: str) -> Iterator[Found]:
    return (each for each in copy.found() if each.split == split)


def train(copy: Copy, index: dict[str, int]) -> Iterator[ImageRecord]:
    return (ImageRecord(f"train/{e.folder}/{e.name}", index[e.folder], e.place) for e in of(copy, "train"))


def check(copy: Copy, classes: set[str], validated: set[str]) -> None:
    folders, stems = set(), set()
    for each in copy.found():
        if each.split == "train":
            folders.add(each.folder)
        elif each.split == "val":
            stems.add(Path(each.name).stem)
    if folders != classes:
        raise UserError(
            f"prepare.source: {copy.where}: train and {MAPPING} do not agree on class {odd(folders, classes)}"
        )
    if stems != validated:
        raise UserError(
            f"prepare.source: {copy.where}: val and {SOLUTION} do not agree on image {odd(stems, validated)}"
        )


def odd(one: set[str], other: set[str]) -> str:
    return min(one ^ other)


def from_folder(root: Path) -> Copy:
    for name in (MAPPING, SOLUTION, f"{IMAGES}/train", f"{IMAGES}/val"):
        if not (root / name).exists():
            raise UserError(f"prepare.source: {root}/{name} is missing")

    def found() -> Iterator[Found]:
        for split in ("train", "val", "test"):
            folder = root / IMAGES / split
            classes = sorted(class_folders(folder).values()) if split == "train" else [folder]
            for each in filter(Path.is_dir, classes):
                yield from (Found(split, each.name, path.name, ByteLocation(path)) for path in images(each))

    lists = {split: root / "ILSVRC/ImageSets/CLS-LOC" / name for split, name in LISTS.items()}
    expected = {split: lines(path.read_bytes()) for split, path in lists.items() if path.is_file()}
    mapping, solution = ((root / name).read_text("utf-8-sig") for name in (MAPPING, SOLUTION))
    return Copy(root, mapping, solution, found, expected, lambda: boxes_in_folder(root))


def boxes_in_folder(root: Path) -> Iterator[FoundBoxes]:
    for split, table in SOLUTIONS.items():
        if (root / ANNOTATIONS / split).is_dir():
            yield from read_boxes(root / ANNOTATIONS / split, 0, Coverage.PARTIAL)
        elif (root / table).is_file():
            yield from read_boxes(root / table, 0, Coverage.PARTIAL)


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
    return is_table(name) or is_train_solution(name) or split_of(name) is not None


def is_train_solution(name: str) -> bool:
    return Path(name).name == TRAIN_SOLUTION


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

    def table(name: str) -> str:
        return tables[name].decode("utf-8-sig") if name in tables else beside(path, name)

    expected = {split: lines(tables[name]) for split, name in LISTS.items() if name in tables}
    mapping, solution = table(MAPPING), table(SOLUTION)

    def boxes() -> Iterator[FoundBoxes]:
        annotated: set[str] = set()
        for name, data in xml_files(path):
            parts = Path(name).parts
            if "CLS-LOC" in parts:
                annotated.add(parts[parts.index("CLS-LOC") + 1])
                yield parse_voc(data, f"prepare.source: {path}: {name}", image_key(name), Coverage.PARTIAL, 0)
        if "val" not in annotated:
            yield from read_table(solution, f"prepare.source: {path}: {SOLUTION}")
        places = [ByteLocation(Path(archive), *where) for at, (archive, *where) in listing if is_train_solution(at)]
        if "train" not in annotated and places:
            yield from read_table(places[0].read().decode("utf-8-sig"), f"prepare.source: {path}: {TRAIN_SOLUTION}")

    return Copy(path, mapping, solution, found, expected, boxes)


def beside(path: Path, name: str) -> str:
    if not path.with_name(name).is_file():
        raise UserError(
            f"prepare.source: {path} has no {name}, nor is it beside it; get it from the same page of Kaggle"
        )
    return path.with_name(name).read_text("utf-8-sig")


def split_of(inside: str) -> tuple[str, str, str] | None:
    """(split, folder, name) of an image's path in the archive; None for any other file."""
    path = Path(inside)
    parts = path.parts
    if "CLS-LOC" not in parts or "Data" not in parts or not is_image(path):
        return None
    split = parts[parts.index("CLS-LOC") + 1]
    return (split, path.parent.name, path.name) if split in ("train", "val", "test") else None
