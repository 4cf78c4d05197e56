"""Bounding boxes in separate files: folders or archives of XML files, and Kaggle's tables.

ILSVRC2012_bbox_train_v2.tar.gz     n########/n########_N.xml
ILSVRC2012_bbox_val_v3.tgz          val/ILSVRC2012_val_########.xml
n########.tar.gz                    Annotation/n########/n########_N.xml for one synset
Annotations/CLS-LOC/                {train/n########,val}/*.xml, of Kaggle's tree
LOC_train_solution.csv              ImageId,PredictionString: "wnid x1 y1 x2 y2" once or more; without sizes
any folder                          *.xml named after the images, and any of the above
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from alexnet_pl.data.archives.members import is_archive, read_files
from alexnet_pl.data.archives.tar import is_desktop_file
from alexnet_pl.data.boxes.annotation import Coverage, from_inclusive
from alexnet_pl.data.boxes.index import BoxIndex, image_key
from alexnet_pl.data.boxes.voc_xml import FoundBoxes, NamedBox, parse_voc
from alexnet_pl.data.sources.text_files import read_text
from alexnet_pl.errors import UserError

HEADER = "ImageId,PredictionString"


def index_boxes(path: Path, first: int) -> BoxIndex:
    """Index all boxes in a folder, an archive or a table. `first`: number of an image's first pixel.

    Raises UserError, naming the file, if there are none or a file is corrupt.
    """
    if not path.exists():
        raise UserError(f"prepare.boxes: {path} does not exist")
    index = BoxIndex(read_boxes(path, first, Coverage.PARTIAL))
    if not index.images:
        raise UserError(f"prepare.boxes: {path} holds no annotations (*.xml, archives of them, or LOC_…_solution.csv)")
    return index


def read_boxes(path: Path, first: int, coverage: int) -> Iterator[FoundBoxes]:
    if path.suffix == ".csv":
        yield from parse_table(read_text(path, "prepare.boxes"), str(path))
        return
    for name, data in xml_files(path):
        yield parse_voc(data, f"prepare.boxes: {path}: {name}", image_key(name), coverage, first)
    if path.is_dir():
        for table in sorted(path.glob("LOC_*_solution.csv")):
            yield from read_boxes(table, first, coverage)


def annotated_classes(readers: Iterable[Callable[[], Iterable[FoundBoxes]]]) -> list[tuple[str, str]]:
    """Classes of the boxes that the functions `readers` yield, sorted; their names are also their ids."""
    names = {box.name for read in readers for found in read() for box in found.boxes}
    return [(name, name) for name in sorted(names)]


def xml_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path within, bytes) of all XML files in a folder and the archives in it, or in an archive."""
    archives = filter(is_archive, sorted(path.iterdir())) if path.is_dir() else ()
    for source in (path, *archives):
        yield from read_files(source, is_xml, "prepare.boxes")


def is_xml(name: str) -> bool:
    return name.endswith(".xml") and not is_desktop_file(PurePosixPath(name).name)


def parse_table(text: str, where: str) -> Iterator[FoundBoxes]:
    """Parse Kaggle's table. Coordinates refer to the image itself, from 0, inclusive."""
    if text.partition("\n")[0].strip().split(",")[:2] != HEADER.split(","):
        raise UserError(f"{where}: does not begin with {HEADER}")
    for row in table_rows(text, where):
        words = (row["PredictionString"] or "").split()
        try:
            boxes = list(boxes_of(words))
        except ValueError as error:
            raise UserError(f"{where}: {row['ImageId']}: not a class and four numbers a box ({error})") from error
        yield FoundBoxes(image_key(row["ImageId"]), boxes, Coverage.PARTIAL)


def table_rows(text: str, where: str) -> Iterator[dict[str, str]]:
    try:
        yield from csv.DictReader(io.StringIO(text))
    except csv.Error as error:
        raise UserError(f"{where}: not a table ({error})") from error


def boxes_of(words: list[str]) -> Iterable[NamedBox]:
    for at in range(0, len(words), 5):
        x1, y1, x2, y2 = (int(word) for word in words[at + 1 : at + 5])
        if edges := from_inclusive((x1, y1, x2, y2), 0):
            yield NamedBox(edges, words[at])
