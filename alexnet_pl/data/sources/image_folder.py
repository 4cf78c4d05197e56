"""Class folders: train/<class>/*, val/<class>/*, and test/<class>/* or, without labels, test/*.

Without val/, or with only <class>/* and no splits (Caltech-101), a share of each class becomes val, chosen by image
name.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.remote import list_folder
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords, SkippedFiles
from alexnet_pl.data.sources.image_files import (
    INNER,
    SUFFIXES,
    find_class_folders,
    find_image_files,
    has_images,
    is_image,
)
from alexnet_pl.data.sources.name_split import split_by_name
from alexnet_pl.data.sources.split_files import SPELLINGS
from alexnet_pl.errors import UserError


def read_folders(source: Path, names: Mapping[str, str], val_share: float | None = None) -> DatasetListing:
    """List a tree of class folders. `names`: readable class names by folder name; `val_share`: fraction of each class
    that becomes val if there is no folder of validation images.

    Raises UserError if there is no such tree, if its splits differ in their classes, or if an image is in no class
    folder.
    """
    if not source.is_dir():
        raise UserError(f"prepare.source: {source} does not exist; give the folder that holds train/ and val/")
    roots = split_roots(source)
    has_splits = (
        roots["train"].is_dir()
        or roots["val"].is_dir()
        or not any(map(has_images, find_class_folders(source).values()))
    )
    if not has_splits:
        roots = {"train": source}
        if val_share is None:
            some = ", ".join(sorted(find_class_folders(source))[:3])
            offer = offer_val_share("each class")
            raise UserError(f"prepare.source: {source} holds class folders ({some}, …), not train/ and val/; {offer}")
    folders_of_split = {split: find_class_folders(root) for split, root in roots.items() if root.is_dir()}
    check_splits(source, roots, folders_of_split, val_share)
    classes = sorted(folders_of_split["train"])
    skipped_files: SkippedFiles = {}

    def list_split(split: str) -> Iterator[ImageRecord]:
        prefix = f"{roots[split].name}/" if has_splits else ""
        return list_class_folders(roots[split], classes, prefix, skipped_files)

    splits = {split: LazyRecords(partial(list_split, split)) for split, found in folders_of_split.items() if found}
    if has_splits and (flat := list_unlabelled_images(roots["test"], folders_of_split)):
        splits["test"] = flat
    readable = [(name, names.get(name, name)) for name in classes]
    if "val" in splits:
        return DatasetListing(readable, splits, skipped_files=skipped_files)
    parts = split_by_name(partial(list_split, "train"), val_share or 0)
    return DatasetListing(readable, splits | parts, held_out=val_share, skipped_files=skipped_files)


def split_roots(source: Path) -> dict[str, Path]:
    """Folder of each split: train/ and val/, or folders with a common prefix, as imagenet21k_train/ and …_val/."""
    prefix = "" if (source / "train").is_dir() else find_prefix(source)
    return {
        split: next((path for name in names if (path := source / f"{prefix}{name}").is_dir()), source / split)
        for split, names in SPELLINGS.items()
    }


def find_prefix(source: Path) -> str:
    """Prefix of the only pair of folders of training and validation images; "" if there is none or are several."""
    names = {name for name, is_folder in list_folder(source) if is_folder}
    starts = [name.removesuffix("train") for name in names if name.endswith(("_train", "-train"))]
    pairs = [start for start in starts if any(f"{start}{val}" in names for val in SPELLINGS["val"])]
    return pairs[0] if len(pairs) == 1 else ""


def has_class_folders(source: Path) -> bool:
    """Whether both train and val exist and hold class folders."""
    roots = split_roots(source)
    return all(roots[split].is_dir() and bool(find_class_folders(roots[split])) for split in ("train", "val"))


def offer_val_share(what: str) -> str:
    return f"prepare.val_share=0.1 holds out a tenth of {what} for validation, by the images' names"


def check_splits(
    source: Path, roots: Mapping[str, Path], found: Mapping[str, Mapping[str, Path]], val_share: float | None
) -> None:
    """Raise UserError if a split or its classes are missing, a class is empty, or an image has no class."""
    for split in ("train", "val") if val_share is None or found.get("val") is not None else ("train",):
        if not found.get(split):
            offer = f"; {offer_val_share('train')}" if split == "val" and not roots["val"].is_dir() else ""
            if not any(root.is_dir() for root in roots.values()) and find_image_files(source):
                raise UserError(
                    f"prepare.source: {source} holds images and no class folders; give the folder above it if that "
                    "has a folder for each class"
                )
            raise UserError(f"prepare.source: {roots[split]} {explain_no_classes(roots[split], split)}{offer}")
    classes = sorted(found["train"])
    for split, folders in found.items():
        if folders and sorted(folders) != classes:
            raise UserError(f"prepare.source: {describe_difference(source, roots[split].name, classes, folders)}")
        if folders and (loose := sorted(filter(is_image, roots[split].iterdir()))):
            raise UserError(f"prepare.source: {loose[0]} is in no class folder")
    for folder in (folder for folders in found.values() for folder in folders.values()):
        if not has_images(folder) and not has_images(folder / INNER):
            raise UserError(f"prepare.source: {folder} holds no images ({', '.join(sorted(SUFFIXES))})")


def list_class_folders(
    root: Path, classes: list[str], prefix: str, skipped_files: SkippedFiles
) -> Iterator[ImageRecord]:
    for label, name in enumerate(classes):
        for path in find_image_files(root / name, skipped_files):
            yield ImageRecord(f"{prefix}{name}/{path.name}", label, ByteLocation(path))


def list_unlabelled_images(root: Path, found: Mapping[str, Mapping[str, Path]]) -> LazyRecords | None:
    """Images directly in test/, without labels; None if there are none or test/ has class folders."""
    if found.get("test") or not root.is_dir() or not find_image_files(root):
        return None
    return LazyRecords(
        lambda: (ImageRecord(f"test/{path.name}", -1, ByteLocation(path)) for path in find_image_files(root))
    )


def explain_no_classes(folder: Path, split: str) -> str:
    """Message on why the images in `folder` have no class."""
    if folder.is_dir() and any(path.name.startswith("ILSVRC20") for path in find_image_files(folder)):
        return (
            "holds images without their classes; put their labels beside the folder: the development kit "
            "(ILSVRC…_devkit….tar.gz) or Kaggle's LOC_val_solution.csv"
        )
    exists = "has no class folders" if folder.exists() else "does not exist"
    return f"{exists} (expected: {split}/<class>/<image>)"


def describe_difference(source: Path, split: str, classes: list[str], folders: Mapping[str, Path]) -> str:
    missing, extra = sorted(set(classes) - set(folders)), sorted(set(folders) - set(classes))
    parts = [f"lacks {', '.join(missing[:3])}" for _ in missing[:1]] + [
        f"has {', '.join(extra[:3])}" for _ in extra[:1]
    ]
    more = " and more" if max(len(missing), len(extra)) > 3 else ""
    return f"{source}/{split} {' and '.join(parts)}{more}, unlike {source}/train; the classes must be the same"
