"""tiny-ImageNet as downloaded, a folder or its zip: 200 classes of ImageNet at 64 × 64 pixels.

wnids.txt, words.txt                 the classes, one wnid per line; "wnid<TAB>words" for all of WordNet
train/<wnid>/images/*.JPEG           500 per class
train/<wnid>/<wnid>_boxes.txt        "name<TAB>x1<TAB>y1<TAB>x2<TAB>y2" per line, one line per image
val/images/*.JPEG                    50 per class
val/val_annotations.txt              "name<TAB>wnid<TAB>x1<TAB>y1<TAB>x2<TAB>y2" per line
test/images/*.JPEG                   without labels
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation, zip_location
from alexnet_pl.data.archives.remote import walk_files
from alexnet_pl.data.archives.zip import list_zip_members
from alexnet_pl.data.boxes.annotation import Coverage, from_inclusive
from alexnet_pl.data.boxes.index import BoxIndex, image_key
from alexnet_pl.data.boxes.voc_xml import FoundBoxes, NamedBox
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.sources.image_files import is_image
from alexnet_pl.errors import UserError

FOLDER = "tiny-imagenet-200"
WNIDS, WORDS, ANNOTATIONS = "wnids.txt", "words.txt", "val/val_annotations.txt"
Files = Mapping[str, ByteLocation]


def find_tiny_imagenet(source: Path) -> Path | None:
    """Find the folder, or the zip: `source` itself or a file in it; None if there is neither."""
    for root in (source, source / FOLDER):
        if (root / WNIDS).is_file() and (root / ANNOTATIONS).is_file():
            return root
    zips = sorted(source.glob("tiny-imagenet*.zip")) if source.is_dir() else [source]
    return next((path for path in zips if path.name.startswith("tiny-imagenet") and path.suffix == ".zip"), None)


def read_tiny_imagenet(where: Path) -> DatasetListing:
    """List a copy. Raises UserError, naming the file, if one is missing, corrupt, or does not agree with another."""
    files = files_of_folder(where) if where.is_dir() else files_of_zip(where)
    wnids = sorted(line[0] for line in table(where, files, WNIDS, 1))
    words = {line[0]: line[1] for line in table(where, files, WORDS, 2) if len(line) > 1} if WORDS in files else {}
    index = {wnid: label for label, wnid in enumerate(wnids)}
    train, counts = train_images(where, files, index)
    splits = {"train": train, "val": val_images(where, files, index)}
    if test := [ImageRecord(f"test/{Path(p).name}", -1, files[p]) for p in images_in(files, "test/images")]:
        splits["test"] = test
    boxes = partial(BoxIndex.read, partial(read_tiny_boxes, where, files, wnids))
    return DatasetListing([(wnid, words.get(wnid, wnid)) for wnid in wnids], splits, class_counts=counts, boxes=boxes)


def train_images(where: Path, files: Files, index: Mapping[str, int]) -> tuple[list[ImageRecord], list[int] | None]:
    """Training images, and the number per class according to its box file; None if a box file is missing."""
    records = []
    for path in images_in(files, "train"):
        _, wnid, *_ = path.split("/")
        if wnid not in index:
            raise UserError(f"prepare.source: {where}: {path} is of class {wnid}, which is not in {WNIDS}")
        records.append(ImageRecord(f"train/{wnid}/{Path(path).name}", index[wnid], files[path]))
    if missing := set(index) - {record.name.split("/")[1] for record in records}:
        raise UserError(f"prepare.source: {where}: no training images of {min(missing)}, which {WNIDS} lists")
    boxes = [f"train/{wnid}/{wnid}_boxes.txt" for wnid in sorted(index)]
    if not all(path in files for path in boxes):
        return records, None
    return records, [len(table(where, files, path, 5)) for path in boxes]


def val_images(where: Path, files: Files, index: Mapping[str, int]) -> list[ImageRecord]:
    truth = {line[0]: line[1] for line in table(where, files, ANNOTATIONS, 2)}
    paths = {Path(path).name: path for path in images_in(files, "val")}
    if odd := sorted(set(truth) ^ set(paths)):
        raise UserError(f"prepare.source: {where}: val/images and {ANNOTATIONS} do not agree on image {odd[0]}")
    if unknown := set(truth.values()) - set(index):
        raise UserError(f"prepare.source: {where}: {ANNOTATIONS}: class {min(unknown)} is not in {WNIDS}")
    return [ImageRecord(f"val/{name}", index[truth[name]], files[path]) for name, path in sorted(paths.items())]


def read_tiny_boxes(where: Path, files: Files, wnids: list[str]) -> Iterator[FoundBoxes]:
    """Yield the one box of each image, from 0 to 63 inclusive; 475 of the 110,000 have no extent and are left out."""
    for wnid in wnids:
        if (path := f"train/{wnid}/{wnid}_boxes.txt") in files:
            for name, *corners in table(where, files, path, 5):
                yield box_of(where, f"train/{wnid}/{name}", wnid, corners)
    for name, wnid, *corners in table(where, files, ANNOTATIONS, 2):
        if corners:  # some copies were trimmed for classification
            yield box_of(where, f"val/{name}", wnid, corners)


def box_of(where: Path, image: str, wnid: str, corners: list[str]) -> FoundBoxes:
    try:
        x1, y1, x2, y2 = (int(corner) for corner in corners[:4])
        edges = from_inclusive((x1, y1, x2, y2), 0)
    except ValueError as error:
        raise UserError(f"prepare.source: {where}: the box of {image} is not four numbers ({error})") from error
    return FoundBoxes(image_key(image), [NamedBox(edges, wnid)] if edges else [], Coverage.PARTIAL)


def table(where: Path, files: Files, name: str, columns: int) -> list[list[str]]:
    """Tab-separated fields of each line of a table.

    Raises UserError if the file is missing or corrupt, or if a line has fewer than `columns` fields.
    """
    if name not in files:
        raise UserError(f"prepare.source: {where} has no {name}; get it again")
    try:
        lines = [line.split("\t") for line in files[name].read().decode().splitlines() if line.strip()]
    except (ValueError, OSError) as error:
        raise UserError(f"prepare.source: {where}: {name}: corrupt ({error}); get it again") from error
    if short := next((line for line in lines if len(line) < columns), None):
        raise UserError(f"prepare.source: {where}: {name}: {short[0]!r}: fewer than {columns} columns; get it again")
    return lines


def images_in(files: Files, folder: str) -> list[str]:
    return sorted(path for path in files if path.startswith(f"{folder}/") and is_image(Path(path)))


def files_of_folder(root: Path) -> dict[str, ByteLocation]:
    return {path.relative_to(root).as_posix(): ByteLocation(path) for path in walk_files(root) if path.is_file()}


def files_of_zip(path: Path) -> dict[str, ByteLocation]:
    """Locations by the path below the archive's one folder."""
    found = {each.name: zip_location(path, each) for each in list_zip_members(path, lambda _: True)}
    return {name.partition("/")[2]: location for name, location in found.items() if name.startswith(f"{FOLDER}/")}
