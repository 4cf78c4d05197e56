"""Listing of packed copies from their rows: classes by wnid or label, checked against each other."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.remote import parse_path
from alexnet_pl.data.sources.base import CopyOptions, DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.disk_list import LISTED, DiskList
from alexnet_pl.data.sources.name_split import split_by_name
from alexnet_pl.data.sources.packed_rows import SourceRow, find_naming
from alexnet_pl.data.sources.split_files import check_complete, find_missing_validation
from alexnet_pl.errors import UserError
from alexnet_pl.progress import counted


def read_files(
    files: Mapping[str, list[Path]],
    rows: Callable[[Path], Iterable[SourceRow]],
    find_missing: Callable[[Mapping[str, list[Path]]], list[str]],
    class_names: Callable[[Path], list[str]],
    options: CopyOptions,
) -> DatasetListing:
    """List the rows of all files of a copy.

    find_missing: function from the files to the names of those that are missing.
    class_names: function from the first file to the class names in it.

    Raises UserError if files are missing, unless `options.allow_incomplete`.
    """
    first = next(iter(files.values()))[0]
    missing = find_missing_validation(files, options.val_share) + find_missing(files)
    missing = check_complete(first.parent, missing, options.allow_incomplete)
    return replace(list_rows(first.parent, files, rows, class_names(first), options.val_share), missing=missing)


def list_rows(
    folder: Path,
    files: Mapping[str, list[Path]],
    rows: Callable[[Path], Iterable[SourceRow]],
    names: list[str],
    val_share: float | None = None,
) -> DatasetListing:
    """List rows into temporary files, then find classes and check labels. `val_share`: fraction of the training images
    that becomes val if there are no validation files.

    Raises UserError for labels that disagree.
    """
    if "train" not in files:
        raise UserError(f"prepare.source: {folder} has no files of the training split, only of {', '.join(files)}")
    lists = {
        split: DiskList(counted((row for path in paths for row in rows(path)), LISTED))
        for split, paths in files.items()
    }
    classes = find_classes(folder, lists)
    index = {wnid: label for label, wnid in enumerate(classes)}
    for split, rows_of_split in lists.items():
        check_labels(folder, split, rows_of_split, index)
    readable = dict(zip(classes, names, strict=True)) if len(names) == len(classes) else {}
    splits = {
        split: LazyRecords(partial(to_records, split, spool, find_naming(spool), index))
        for split, spool in lists.items()
    }
    classes_of_copy = [(name, readable.get(name, name)) for name in classes]
    if "val" in splits or val_share is None:
        return DatasetListing(classes_of_copy, splits)
    parts = split_by_name(splits["train"].list_records, val_share)
    return DatasetListing(classes_of_copy, splits | parts, held_out=val_share)


def find_classes(folder: Path, lists: Mapping[str, DiskList]) -> list[str]:
    """Class ids: the sorted wnids, or if names have none, the labels from 0 as five digits."""
    wnids = {wnid for rows in lists.values() for _, wnid, _, _ in rows if wnid}
    if wnids:
        return sorted(wnids)
    labels = {label for _, _, label, _ in lists["train"] if label is not None}
    if not labels or min(labels) < 0:
        raise UserError(f"prepare.source: {folder}: training images without a class")
    return [f"{label:05d}" for label in range(max(labels) + 1)]


def check_labels(folder: Path, split: str, rows: DiskList, index: Mapping[str, int]) -> None:
    """Raise UserError if labels and wnids disagree, which means that labels are in another order than assumed."""
    for name, wnid, label, _ in rows:
        if wnid and label is not None and label >= 0 and index[wnid] != label:
            raise UserError(
                f"prepare.source: {folder}: {name} is of {wnid}, class {index[wnid]} of {len(index):,} when sorted, "
                f"but labeled {label}; are all {split} files there?"
            )
        if not wnid and label is not None and label >= len(index):
            raise UserError(
                f"prepare.source: {folder}: {name} is labeled {label}, but there are only {len(index)} classes"
            )
        if split != "test" and not wnid and (label is None or label < 0):
            raise UserError(f"prepare.source: {folder}: {name} of {split} has no class")


def to_records(
    split: str, rows: DiskList, name_of: Callable[[SourceRow], str], index: Mapping[str, int]
) -> Iterator[ImageRecord]:
    for row in (SourceRow(*fields) for fields in rows):
        class_index = index[row.wnid] if row.wnid else row.label
        path, *location = tuple[Any, ...](row.location)
        byte_location = ByteLocation(parse_path(str(path)), *location)
        yield ImageRecord(f"{split}/{name_of(row)}", -1 if class_index is None else class_index, byte_location)
