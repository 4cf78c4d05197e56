"""A copy of images as class folders: train/<class>/*, val/<class>/*, and test/<class>/* where there is one."""

from collections.abc import Mapping
from pathlib import Path

from alexnet_pl.data.source import Item, Place, Source
from alexnet_pl.errors import UserError

SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tiff"}


def read_folders(source: Path, names: Mapping[str, str]) -> Source:
    """List a tree of class folders. `names` gives readable class names by folder name.

    Raises UserError where there is no such tree or where its splits differ in their classes.
    """
    if not source.is_dir():
        raise UserError(f"data.source: {source} is not there; give the folder that holds train/ and val/")
    found = {split: class_folders(source / split) for split in ("train", "val", "test") if (source / split).is_dir()}
    for split in ("train", "val"):
        if not found.get(split):
            raise UserError(f"data.source: {source}/{split} has no class folders (wanted: {split}/<class>/<image>)")
    classes = sorted(found["train"])
    for split, folders in found.items():
        if folders and sorted(folders) != classes:
            raise UserError(f"data.source: {difference(source, split, classes, folders)}")
    index = {name: i for i, name in enumerate(classes)}
    splits = {
        split: [Item(f"{split}/{c}/{path.name}", index[c], Place(path)) for c in classes for path in images(folders[c])]
        for split, folders in found.items()
        if folders
    }
    for split, items in splits.items():
        if empty := sorted(set(range(len(classes))) - {item.label for item in items}):
            folder = source / split / classes[empty[0]]
            raise UserError(f"data.source: {folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return Source([(name, names.get(name, name)) for name in classes], splits)


def class_folders(root: Path) -> dict[str, Path]:
    return {path.name: path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}


def images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")


def difference(source: Path, split: str, classes: list[str], folders: Mapping[str, Path]) -> str:
    missing, extra = sorted(set(classes) - set(folders)), sorted(set(folders) - set(classes))
    parts = [f"lacks {', '.join(missing[:3])}" for _ in missing[:1]] + [
        f"has {', '.join(extra[:3])}" for _ in extra[:1]
    ]
    more = " and more" if max(len(missing), len(extra)) > 3 else ""
    return f"{source}/{split} {' and '.join(parts)}{more}, unlike {source}/train; the classes must be the same"
