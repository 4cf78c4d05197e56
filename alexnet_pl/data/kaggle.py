"""Kaggle's imagenet-object-localization-challenge: ILSVRC-2012 in a tree of its own, labels in a table.

ILSVRC/Data/CLS-LOC/train/n########/*.JPEG, …/val/*.JPEG, …/test/*.JPEG
LOC_synset_mapping.txt    "n01440764 tench, Tinca tinca" a line
LOC_val_solution.csv      ImageId (without .JPEG), PredictionString: "wnid x1 y1 x2 y2" once or more
"""

import csv
from pathlib import Path

from alexnet_pl.data.folders import class_folders, images
from alexnet_pl.data.source import Item, Place, Source
from alexnet_pl.errors import UserError

MAPPING, SOLUTION, IMAGES = "LOC_synset_mapping.txt", "LOC_val_solution.csv", "ILSVRC/Data/CLS-LOC"


def read_kaggle(source: Path) -> Source:
    """Raises UserError that names what is missing or does not agree."""
    for name in (MAPPING, SOLUTION, f"{IMAGES}/train", f"{IMAGES}/val"):
        if not (source / name).exists():
            raise UserError(f"data.source: {source}/{name} is missing")
    lines = (source / MAPPING).read_text().splitlines()
    classes = sorted((wnid, words) for wnid, _, words in (line.partition(" ") for line in lines if line))
    index = {wnid: i for i, (wnid, _) in enumerate(classes)}
    root = source / IMAGES
    return Source(
        classes,
        {"train": train(root / "train", index), "val": val(root / "val", source / SOLUTION, index)} | test(root),
    )


def train(root: Path, index: dict[str, int]) -> list[Item]:
    folders = class_folders(root)
    if set(folders) != set(index):
        odd = sorted(set(folders) ^ set(index))[0]
        raise UserError(f"data.source: {root} and {MAPPING} do not agree on class {odd}")
    return [Item(f"train/{c}/{p.name}", index[c], Place(p)) for c in sorted(folders) for p in images(folders[c])]


def val(root: Path, solution: Path, index: dict[str, int]) -> list[Item]:
    with solution.open(newline="") as file:
        wnids = {row["ImageId"]: row["PredictionString"].split(" ")[0] for row in csv.DictReader(file)}
    found = {path.stem: path for path in images(root)}
    if set(found) != set(wnids):
        odd = sorted(set(found) ^ set(wnids))[0]
        raise UserError(f"data.source: {root} and {SOLUTION} do not agree on image {odd}")
    if unknown := set(wnids.values()) - set(index):
        raise UserError(f"data.source: {solution}: class {min(unknown)} is not in {MAPPING}")
    return [Item(f"val/{path.name}", index[wnids[stem]], Place(path)) for stem, path in sorted(found.items())]


def test(root: Path) -> dict[str, list[Item]]:
    """The images of the test server, whose labels were never released."""
    found = images(root / "test") if (root / "test").is_dir() else []
    return {"test": [Item(f"test/{path.name}", -1, Place(path)) for path in found]} if found else {}
