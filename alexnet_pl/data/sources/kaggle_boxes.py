"""Bounding boxes of Kaggle's copy of ILSVRC-2012: its XML files, or its table for a split without XML files.

ILSVRC/Annotations/CLS-LOC/{train/n########,val}/*.xml    with the image size that boxes refer to
LOC_train_solution.csv, LOC_val_solution.csv              the same boxes without sizes
"""

from collections.abc import Iterator
from pathlib import Path

from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.index import image_key
from alexnet_pl.data.boxes.voc_xml import FoundBoxes, parse_voc
from alexnet_pl.data.sources.box_files import parse_table, read_boxes, xml_files

ANNOTATIONS = "ILSVRC/Annotations/CLS-LOC"
TRAIN_SOLUTION, SOLUTION = "LOC_train_solution.csv", "LOC_val_solution.csv"


def read_kaggle_boxes(path: Path, solution: str) -> Iterator[FoundBoxes]:
    """Yield the boxes of the folder or archive at `path`. `solution`: content of LOC_val_solution.csv."""
    annotated: set[str] = set()
    for split, found in annotations(path):
        annotated.add(split)
        yield found
    if "val" not in annotated:
        yield from parse_table(solution, f"prepare.source: {SOLUTION}")
    table = (path if path.is_dir() else path.parent) / TRAIN_SOLUTION
    if "train" not in annotated and table.is_file():
        yield from read_boxes(table, 0, Coverage.PARTIAL)


def annotations(path: Path) -> Iterator[tuple[str, FoundBoxes]]:
    """Yield (split, boxes of an image) from the XML files."""
    root = path / ANNOTATIONS if path.is_dir() else path
    for name, data in xml_files(root) if root.exists() else ():
        parts = Path(name).parts
        if path.is_dir() or "CLS-LOC" in parts:
            split = parts[0] if path.is_dir() else parts[parts.index("CLS-LOC") + 1]
            yield split, parse_voc(data, f"prepare.source: {root}: {name}", image_key(name), Coverage.PARTIAL, 0)
