"""Kaggle's imagenet-object-localization-challenge: ILSVRC-2012 with the labels in a table.

ILSVRC/Data/CLS-LOC/train/n########/*.JPEG, …/val/*.JPEG, …/test/*.JPEG, or these folders beside the tables
LOC_synset_mapping.txt    "n01440764 tench, Tinca tinca" per line
LOC_val_solution.csv      ImageId (without .JPEG), PredictionString: "wnid x1 y1 x2 y2" once or more
Boxes, used for a store of whole images only: see kaggle_boxes.py
ILSVRC/ImageSets/CLS-LOC/train_cls.txt …    list of the images, one per line; optional

Without LOC_val_solution.csv, a folder's validation classes are those of ILSVRC/Annotations/CLS-LOC/val/*.xml.
Either a folder, or the downloaded .zip or .tar.gz, or ILSVRC2017_CLS-LOC.tar.gz, with the two tables inside or beside
it. Without LOC_synset_mapping.txt, which only adds readable names, the classes are those of LOC_val_solution.csv.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.console import print_warning
from alexnet_pl.data.archives import tar
from alexnet_pl.data.archives.location import ByteLocation, zip_location
from alexnet_pl.data.archives.members import read_intact
from alexnet_pl.data.archives.remote import parse_path, walk_files
from alexnet_pl.data.archives.tar import GZIP_SUFFIXES, WNID, is_desktop_file, whole_archive
from alexnet_pl.data.archives.zip import ZipMember, list_zip_members
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.index import BoxIndex
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.box_files import HEADER, read_boxes, table_rows
from alexnet_pl.data.sources.disk_list import DiskList
from alexnet_pl.data.sources.image_files import find_class_folders, find_image_files, has_images, is_image
from alexnet_pl.data.sources.image_folder import split_roots
from alexnet_pl.data.sources.kaggle_boxes import ANNOTATIONS, SOLUTION, read_kaggle_boxes
from alexnet_pl.data.sources.text_files import decode_text, read_text
from alexnet_pl.errors import UserError
from alexnet_pl.progress import counted

MAPPING, IMAGES = "LOC_synset_mapping.txt", "ILSVRC/Data/CLS-LOC"
ARCHIVE = re.compile(r"imagenet.*object|ILSVRC20\d\d_CLS-LOC")
LISTS = {"train": "train_cls.txt", "test": "test.txt"}  # in ILSVRC/ImageSets/CLS-LOC; val is checked by its table


class KaggleImage(NamedTuple):
    """Image with the last parts of its path: split, folder (for training images, the class), name."""

    split: str
    folder: str
    name: str
    location: ByteLocation


class KaggleCopy(NamedTuple):
    """Content of the two tables (`mapping` may be None), all images, and image counts from the copy's own lists."""

    path: Path
    mapping: str | None
    solution: str
    images: Callable[[], Iterable[KaggleImage]]
    expected: dict[str, int]


def find_kaggle(source: Path) -> Path | None:
    """Find the folder with the tables, or Kaggle's archive (`source` itself or in it); None if there is none."""
    is_tree = (source / IMAGES).is_dir() or ((source / MAPPING).is_file() and (source / "ILSVRC").is_dir())
    if is_tree or has_images_beside_table(source):
        return source
    inside = sorted(source.iterdir()) if source.is_dir() else [source]
    any_name = not (source / "train").is_dir()  # else zips are probably of other images
    return next((path for path in inside if (any_name or path.name.startswith("imagenet")) and is_kaggle(path)), None)


def has_images_beside_table(source: Path) -> bool:
    """Whether train/ and a flat val/ or validation/, whose images only the table labels, lie beside it."""
    if not (source / SOLUTION).is_file() or (source / "ILSVRC").exists():
        return False
    roots = split_roots(source)
    return roots["train"].is_dir() and has_images(roots["val"])


def is_kaggle(path: Path) -> bool:
    """Whether this is Kaggle's archive, or ILSVRC's of the same tree, without a solution."""
    if path.suffix == ".zip" and not is_desktop_file(path.name):
        return next(list_zip_members(path, lambda name: split_of(name) is not None), None) is not None
    return path.name.endswith(GZIP_SUFFIXES) and bool(ARCHIVE.match(path.name))


def read_kaggle(path: Path) -> DatasetListing:
    """List a copy. Raises UserError, naming the file, table, class or image that is missing or does not agree."""
    copy = open_kaggle_folder(path) if path.is_dir() else open_kaggle_archive(path)
    if not copy.solution.startswith(HEADER):
        raise UserError(f"prepare.source: {SOLUTION} of {path} does not begin with {HEADER}")
    rows = table_rows(copy.solution, f"prepare.source: {SOLUTION} of {path}")
    truth = {row["ImageId"]: (row["PredictionString"] or "").split(" ")[0] for row in rows}
    classes = find_kaggle_classes(copy, truth)
    index = {wnid: label for label, (wnid, _) in enumerate(classes)}
    if unknown := set(truth.values()) - set(index):
        raise UserError(f"prepare.source: {SOLUTION}: class {min(unknown)} is not in {MAPPING}")
    check_tables(copy, set(index), truth)
    val = sorted(
        ImageRecord(f"val/{e.name}", index[truth[Path(e.name).stem]], e.location) for e in images_of_split(copy, "val")
    )
    train = LazyRecords(lambda: list_train_records(copy, index))
    splits: dict[str, Iterable[ImageRecord]] = {"train": train, "val": val}
    test = [ImageRecord(f"test/{each.name}", -1, each.location) for each in images_of_split(copy, "test")]
    splits |= {"test": sorted(test)} if test else {}
    boxes = partial(BoxIndex.read, partial(read_kaggle_boxes, path, copy.solution))
    return DatasetListing(classes, splits, expected=copy.expected, boxes=boxes)


def find_kaggle_classes(copy: KaggleCopy, truth: Mapping[str, str]) -> list[tuple[str, str]]:
    """Classes as (wnid, words), sorted by wnid; without the mapping, (wnid, wnid) from the solution."""
    if copy.mapping is None:
        note = f"without {MAPPING}: the classes are those of {SOLUTION}"
        print_warning(f"{copy.path}: {note}")
        return [(wnid, wnid) for wnid in sorted(set(truth.values()))]
    return parse_mapping(copy.mapping)


def parse_mapping(text: str) -> list[tuple[str, str]]:
    """Classes of a LOC_synset_mapping.txt as (wnid, words), sorted by wnid."""
    rows = (line.partition(" ") for line in text.splitlines() if line)
    return sorted((wnid, words) for wnid, _, words in rows)


def images_of_split(copy: KaggleCopy, split: str) -> Iterator[KaggleImage]:
    return (image for image in copy.images() if image.split == split)


def list_train_records(copy: KaggleCopy, index: dict[str, int]) -> Iterator[ImageRecord]:
    return (
        ImageRecord(f"train/{e.folder}/{e.name}", index[e.folder], e.location) for e in images_of_split(copy, "train")
    )


def check_tables(copy: KaggleCopy, classes: set[str], truth: Mapping[str, str]) -> None:
    folders, stems, solution_stems = set(), set(), set(truth)
    for image in copy.images():
        stem = Path(image.name).stem
        if image.split == "train":
            folders.add(image.folder)
        elif image.split == "val":
            stems.add(stem)
            if WNID.fullmatch(image.folder) and image.folder != truth.get(stem, image.folder):
                problem = f"{image.name} is in {image.folder}, but {SOLUTION} says {truth[stem]}"
                raise UserError(f"prepare.source: {copy.path}: {problem}")
    if folders != classes:
        table = SOLUTION if copy.mapping is None else MAPPING
        differing = min(folders ^ classes)
        raise UserError(f"prepare.source: {copy.path}: train and {table} do not agree on class {differing}")
    if stems != solution_stems:
        differing = min(stems ^ solution_stems)
        raise UserError(f"prepare.source: {copy.path}: val and {SOLUTION} do not agree on image {differing}")


def open_kaggle_folder(root: Path) -> KaggleCopy:
    roots = split_roots(root if has_images_beside_table(root) else root / IMAGES)
    for folder in (roots["train"], roots["val"]):
        if not folder.is_dir():
            raise UserError(f"prepare.source: {folder} is missing")

    def list_tree() -> Iterator[KaggleImage]:
        for split in ("train", "val", "test"):
            folder = roots[split]
            if split == "train":
                paths = (
                    path for each in sorted(find_class_folders(folder).values()) for path in find_image_files(each)
                )
            else:  # flat, or sorted into class folders by the user
                paths = filter(is_image, sorted(walk_files(folder) if folder.is_dir() else ()))
            yield from (KaggleImage(split, path.parent.name, path.name, ByteLocation(path)) for path in paths)

    lists = {split: root / "ILSVRC/ImageSets/CLS-LOC" / name for split, name in LISTS.items()}
    expected = {split: count_lines(path.read_bytes()) for split, path in lists.items() if path.is_file()}
    solution = read_text_if_there(root / SOLUTION) or table_of_annotations(root / ANNOTATIONS / "val")
    return KaggleCopy(root, read_text_if_there(root / MAPPING), require_solution(solution, root), list_tree, expected)


def table_of_annotations(folder: Path) -> str | None:
    """The classes in the XML files of the validation images as a table; None if there are no such files."""
    found = read_boxes(folder, 0, Coverage.PARTIAL) if folder.is_dir() else ()
    rows = [f"{each.key},{each.boxes[0].name}\n" for each in found if each.boxes]
    return "".join([f"{HEADER}\n", *rows]) if rows else None


def count_lines(data: bytes) -> int:
    return sum(1 for line in data.splitlines() if line.strip())


def list_zip(path: Path) -> Iterator[tuple[str, ByteLocation]]:
    """Yield (path in the archive, location) of images and tables, sorted by path; each kept in memory as one string."""
    rows = ["\0".join(map(str, member)) for member in list_zip_members(path, is_needed)]
    rows.sort()
    for row in rows:
        name, *numbers = row.split("\0")
        yield name, zip_location(path, ZipMember(name, *map(int, numbers)))


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
    listing = DiskList(counted(entries, "files listed"))

    def list_archive() -> Iterator[KaggleImage]:
        for name, (archive, *where) in listing:
            if known := split_of(name):
                yield KaggleImage(*known, ByteLocation(parse_path(archive), *where))

    tables = {
        Path(at).name: read_intact(ByteLocation(parse_path(archive), *where), f"prepare.source: {path}: {at}")
        for at, (archive, *where) in listing
        if is_table(at)
    }

    def table(name: str) -> str | None:
        return (
            decode_text(tables[name], f"{path}: {name}") if name in tables else read_text_if_there(path.with_name(name))
        )

    expected = {split: count_lines(tables[name]) for split, name in LISTS.items() if name in tables}
    return KaggleCopy(path, table(MAPPING), require_solution(table(SOLUTION), path), list_archive, expected)


def read_text_if_there(path: Path) -> str | None:
    return read_text(path) if path.is_file() else None


def require_solution(solution: str | None, where: Path) -> str:
    if solution is None:
        raise UserError(
            f"prepare.source: {where} has no {SOLUTION}, which labels the validation images, nor is it beside it; "
            "download it from the Data page of the same Kaggle competition"
        )
    return solution


def split_of(member: str) -> tuple[str, str, str] | None:
    """Split an image's path in the archive into (split, folder, name); None for any other file."""
    path = Path(member)
    parts = path.parts
    if "CLS-LOC" not in parts or "Data" not in parts or not is_image(path):
        return None
    split = parts[parts.index("CLS-LOC") + 1]
    return (split, path.parent.name, path.name) if split in ("train", "val", "test") else None
