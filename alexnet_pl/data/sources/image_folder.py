"""Class folders: train/<class>/*, val/<class>/*, and test/<class>/* or, without labels, test/*."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.errors import UserError

SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tiff"}
INNER = "images"  # folder within a class folder that may hold its images, as in tiny-ImageNet's train/


def read_folders(source: Path, names: Mapping[str, str]) -> DatasetListing:
    """List a tree of class folders. `names`: readable class names by folder name.

    Raises UserError if there is no such tree or if its splits have different classes.
    """
    if not source.is_dir():
        raise UserError(f"prepare.source: {source} does not exist; give the folder that holds train/ and val/")
    folders_of_split = {
        split: find_class_folders(source / split) for split in ("train", "val", "test") if (source / split).is_dir()
    }
    for split in ("train", "val"):
        if not folders_of_split.get(split):
            raise UserError(f"prepare.source: {source}/{split} {explain_no_classes(source / split, split)}")
    classes = sorted(folders_of_split["train"])
    for split, folders in folders_of_split.items():
        if folders and sorted(folders) != classes:
            raise UserError(f"prepare.source: {describe_difference(source, split, classes, folders)}")
    for folders in folders_of_split.values():
        for folder in folders.values():
            if not has_images(folder) and not has_images(folder / INNER):
                raise UserError(f"prepare.source: {folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    splits = {
        split: LazyRecords(lambda split=split: list_class_folders(source / split, classes))
        for split, class_dirs in folders_of_split.items()
        if class_dirs
    }
    if unlabelled := list_unlabelled_images(source / "test", folders_of_split):
        splits["test"] = unlabelled
    return DatasetListing([(name, names.get(name, name)) for name in classes], splits)


def list_class_folders(root: Path, classes: list[str]) -> Iterator[ImageRecord]:
    for label, name in enumerate(classes):
        yield from (
            ImageRecord(f"{root.name}/{name}/{path.name}", label, ByteLocation(path))
            for path in find_images(root / name)
        )


def list_unlabelled_images(root: Path, folders_of_split: Mapping[str, Mapping[str, Path]]) -> LazyRecords | None:
    """List images directly in test/, which have no labels; None if there are none."""
    if folders_of_split.get("test") or not root.is_dir() or not find_images(root):
        return None
    return LazyRecords(lambda: (ImageRecord(f"test/{path.name}", -1, ByteLocation(path)) for path in find_images(root)))


def find_class_folders(root: Path) -> dict[str, Path]:
    return {path.name: path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}


def has_images(folder: Path) -> bool:
    return folder.is_dir() and any(map(is_image, folder.iterdir()))


def find_images(folder: Path) -> list[Path]:
    """Find the images of a class, sorted: in its folder, or all in a folder `images` within it.

    Raises UserError for images in any other folder within it, which would be ignored.
    """
    found, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name[0] != ".":
                folders.append(folder / entry.name)
            elif is_image(Path(entry.name)):
                found.append(folder / entry.name)
    if not found and folders == [folder / INNER]:
        return find_images(folder / INNER)
    for inner in sorted(folders):
        if lost := next(filter(is_image, sorted(inner.rglob("*"))), None):
            raise UserError(
                f"prepare.source: {lost} is in a folder within {folder}, which is not read; move the images "
                f"of {lost.parent} to {folder}, or out of the copy"
            )
    return sorted(found)


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "."


def explain_no_classes(folder: Path, split: str) -> str:
    """Why the images in `folder` have no classes, as the end of a message."""
    if folder.is_dir() and any(path.name.startswith("ILSVRC20") for path in find_images(folder)):
        return (
            "holds images without their classes; put their labels beside the folder: the development kit "
            "(ILSVRC…_devkit….tar.gz), or give Kaggle's tree as a whole, with LOC_val_solution.csv"
        )
    return f"has no class folders (expected: {split}/<class>/<image>)"


def describe_difference(source: Path, split: str, classes: list[str], folders: Mapping[str, Path]) -> str:
    missing, extra = sorted(set(classes) - set(folders)), sorted(set(folders) - set(classes))
    parts = [f"lacks {', '.join(missing[:3])}" for _ in missing[:1]] + [
        f"has {', '.join(extra[:3])}" for _ in extra[:1]
    ]
    more = " and more" if max(len(missing), len(extra)) > 3 else ""
    return f"{source}/{split} {' and '.join(parts)}{more}, unlike {source}/train; the classes must be the same"
