"""Some of ILSVRC-2012's validation images with Kaggle's table of their classes and boxes.

    LOC_val_solution.csv        may list images that are not there
    LOC_synset_mapping.txt      readable names of the classes; without it the classes are those of the table
    any folder/*.JPEG           ILSVRC2012_val_00000001.JPEG …, those listed in the table

There is no training split: a share `val_share`, chosen by a hash of the names, becomes `val`, the rest `train`.
"""

from functools import partial
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.remote import walk_files
from alexnet_pl.data.boxes.index import BoxIndex
from alexnet_pl.data.boxes.voc_xml import FoundBoxes
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.sources.box_files import parse_table
from alexnet_pl.data.sources.image_files import is_image
from alexnet_pl.data.sources.image_folder import split_roots
from alexnet_pl.data.sources.kaggle import MAPPING, parse_mapping
from alexnet_pl.data.sources.kaggle_boxes import SOLUTION as TABLE
from alexnet_pl.data.sources.name_split import is_held_out
from alexnet_pl.data.sources.text_files import read_text
from alexnet_pl.errors import UserError


def find_table(source: Path) -> Path | None:
    """Find the table in a folder without training images that is not Kaggle's whole tree; None if there is none."""
    if not (source / TABLE).is_file() or (source / "ILSVRC").exists() or split_roots(source)["train"].is_dir():
        return None
    return source / TABLE


def read_tabled(table: Path, val_share: float) -> DatasetListing:
    """List the images. Raises UserError if the table is corrupt or lists none of them."""
    rows = {row.key: row for row in parse_table(read_text(table), f"prepare.source: {table}")}
    classes = read_classes(table.with_name(MAPPING), rows)
    labels = {wnid: label for label, (wnid, _) in enumerate(classes)}
    paths = sorted(path for path in walk_files(table.parent) if is_image(path) and path.stem in rows)
    if not paths:
        raise UserError(f"prepare.source: {table.parent}: {TABLE} lists none of the images below it")
    if without := [path.stem for path in paths if not rows[path.stem].boxes]:
        raise UserError(f"prepare.source: {table}: {without[0]} has no box, so its class is not known")
    splits: dict[str, list[ImageRecord]] = {"train": [], "val": []}
    for path in paths:
        location = ByteLocation(path)
        split = "val" if is_held_out(path.name, val_share) else "train"
        splits[split].append(ImageRecord(f"{split}/{path.name}", labels[rows[path.stem].boxes[0].name], location))
    return DatasetListing(classes, splits, held_out=val_share, boxes=partial(BoxIndex, rows.values()))


def read_classes(mapping: Path, rows: dict[str, FoundBoxes]) -> list[tuple[str, str]]:
    """Classes as (wnid, words), sorted by wnid."""
    named = {row.boxes[0].name for row in rows.values() if row.boxes}
    if not mapping.is_file():
        return [(wnid, wnid) for wnid in sorted(named)]
    classes = parse_mapping(read_text(mapping))
    if unknown := named - {wnid for wnid, _ in classes}:
        raise UserError(f"prepare.source: {TABLE}: class {min(unknown)} is not in {mapping.name}")
    return classes
