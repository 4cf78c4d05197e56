"""Class folders: train/<class>/*, val/<class>/*, and test/<class>/* or, without labels, test/*."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.errors import UserError

SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tiff"}


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
            raise UserError(
                f"prepare.source: {source}/{split} has no class folders (expected: {split}/<class>/<image>)"
            )
    classes = sorted(folders_of_split["train"])
    for split, folders in folders_of_split.items():
        if folders and sorted(folders) != classes:
            raise UserError(f"prepare.source: {describe_difference(source, split, classes, folders)}")
    for folders in folders_of_split.values():
        for folder in folders.values():
            if not any(map(is_image, folder.iterdir())):
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


def find_images(folder: Path) -> list[Path]:
    return sorted(filter(is_image, folder.iterdir()))


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "."


def describe_difference(source: Path, split: str, classes: list[str], folders: Mapping[str, Path]) -> str:
    missing, extra = sorted(set(classes) - set(folders)), sorted(set(folders) - set(classes))
    parts = [f"lacks {', '.join(missing[:3])}" for _ in missing[:1]] + [
        f"has {', '.join(extra[:3])}" for _ in extra[:1]
    ]
    more = " and more" if max(len(missing), len(extra)) > 3 else ""
    return f"{source}/{split} {' and '.join(parts)}{more}, unlike {source}/train; the classes must be the same"
