"""Images in class folders: train/<class>/*, val/<class>/*, and test/<class>/* or, without labels, test/*."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.errors import UserError

SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tiff"}


def read_folders(source: Path, names: Mapping[str, str]) -> DatasetListing:
    """List a tree of class folders. `names` gives readable class names by folder name.

    Raises UserError where there is no such tree or where its splits differ in their classes.
    """
    if not source.is_dir():
        raise UserError(f"prepare.source: {source} is not there; give the folder that holds train/ and val/")
    found = {split: class_folders(source / split) for split in ("train", "val", "test") if (source / split).is_dir()}
    for split in ("train", "val"):
        if not found.get(split):
            raise UserError(f"prepare.source: {source}/{split} has no class folders (wanted: {split}/<class>/<image>)")
    classes = sorted(found["train"])
    for split, folders in found.items():
        if folders and sorted(folders) != classes:
            raise UserError(f"prepare.source: {difference(source, split, classes, folders)}")
    for folders in found.values():
        for folder in folders.values():
            if not any(map(is_image, folder.iterdir())):
                raise UserError(f"prepare.source: {folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    splits = {
        split: LazyRecords(lambda split=split: list_images(source / split, classes))
        for split, own in found.items()
        if own
    }
    if flat := test_images(source / "test", found):
        splits["test"] = flat
    return DatasetListing([(name, names.get(name, name)) for name in classes], splits)


def list_images(root: Path, classes: list[str]) -> Iterator[ImageRecord]:
    for label, name in enumerate(classes):
        yield from (
            ImageRecord(f"{root.name}/{name}/{path.name}", label, ByteLocation(path)) for path in images(root / name)
        )


def test_images(root: Path, found: Mapping[str, Mapping[str, Path]]) -> LazyRecords | None:
    """Images that lie in test/ itself have no labels."""
    if found.get("test") or not root.is_dir() or not images(root):
        return None
    return LazyRecords(lambda: (ImageRecord(f"test/{path.name}", -1, ByteLocation(path)) for path in images(root)))


def class_folders(root: Path) -> dict[str, Path]:
    return {path.name: path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}


def images(folder: Path) -> list[Path]:
    return sorted(filter(is_image, folder.iterdir()))


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "."


def difference(source: Path, split: str, classes: list[str], folders: Mapping[str, Path]) -> str:
    missing, extra = sorted(set(classes) - set(folders)), sorted(set(folders) - set(classes))
    parts = [f"lacks {', '.join(missing[:3])}" for _ in missing[:1]] + [
        f"has {', '.join(extra[:3])}" for _ in extra[:1]
    ]
    more = " and more" if max(len(missing), len(extra)) > 3 else ""
    return f"{source}/{split} {' and '.join(parts)}{more}, unlike {source}/train; the classes must be the same"
