"""Hugging Face's forms of ImageNet: imagenet-1k's Parquet files, its older archives, timm's WebDataset shards.

    data/train-00000-of-00294.parquet …, validation-…, test-…      columns image: {bytes, path}, label (−1 in test)
    data/train_images_0.tar.gz … 4, val_images.tar.gz, test_images.tar.gz    n01440764_10026_n01440764.JPEG
    imagenet22k-train-0000.tar …, imagenet22k-validation-…                   key.jpg, key.cls, key.json
    _info.json beside these shards                                           number of samples of each split

The class of an image is given by the wnid in its name, or by a label, which is an index into the sorted wnids. If an
image has both, they must agree.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.parquet import read_class_names
from alexnet_pl.data.archives.remote import parse_path
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.disk_list import DiskList
from alexnet_pl.data.sources.name_split import split_by_name
from alexnet_pl.data.sources.packed_rows import (
    SourceRow,
    find_naming,
    read_archive_rows,
    read_shard_rows,
    read_table_rows,
)
from alexnet_pl.errors import UserError

SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
SPLIT = re.compile(r"(?:^|[-_.])(train|validation|valid|val|test)(?=[-_.\d]|$)")
SHARD = re.compile(r".*\d{3,}\.tar$")
ADVICE = "download it again, or prepare the files you have with prepare.allow_incomplete=true"


def find_tables(source: Path) -> dict[str, list[Path]]:
    return group_by_split(source, "*.parquet")


def find_packed(source: Path) -> dict[str, list[Path]]:
    return group_by_split(source, "*_images*.tar.gz")


def find_shards(source: Path) -> dict[str, list[Path]]:
    by_name = group_by_split(source, "*.tar")
    return {s: shards for s, paths in by_name.items() if (shards := [p for p in paths if SHARD.match(p.name)])}


def group_by_split(source: Path, pattern: str) -> dict[str, list[Path]]:
    """Group files of a folder or its data/ by the split in their names; `train` comes first."""
    files: dict[str, list[Path]] = {}
    for path in sorted((*source.glob(pattern), *(source / "data").glob(pattern))):
        if match := SPLIT.search(path.name):
            files.setdefault(SPLITS[match[1]], []).append(path)
    return {split: files[split] for split in ("train", "val", "test") if split in files}


def read_tables(
    files: Mapping[str, list[Path]], allow_incomplete: bool = False, val_share: float | None = None
) -> DatasetListing:
    first = next(iter(files.values()))[0]
    missing = find_missing_validation(files, val_share) + find_missing_parts(files)
    missing = check_complete(first.parent, missing, allow_incomplete)
    return replace(read_rows(first.parent, files, read_table_rows, read_class_names(first), val_share), missing=missing)


def read_packed(
    files: Mapping[str, list[Path]], allow_incomplete: bool = False, val_share: float | None = None
) -> DatasetListing:
    folder = next(iter(files.values()))[0].parent
    missing = find_missing_validation(files, val_share) + find_missing_numbers(files)
    missing = check_complete(folder, missing, allow_incomplete)
    return replace(read_rows(folder, files, read_archive_rows, [], val_share), missing=missing)


def read_shards(
    files: Mapping[str, list[Path]], allow_incomplete: bool = False, val_share: float | None = None
) -> DatasetListing:
    folder = next(iter(files.values()))[0].parent
    expected, listed = read_info(folder / "_info.json")
    share = None if expected.get("val") else val_share
    missing = find_missing_validation(files, share) + find_missing_numbers(files)
    missing += [name for name in listed if name not in missing and not (folder / name).is_file()]
    if not listed:
        absent = [split for split, count in expected.items() if count and split not in files]
        missing += [f"all files of {split}" for split in absent if split != "val"]
    missing = check_complete(folder, missing, allow_incomplete)
    listing = read_rows(folder, files, read_shard_rows, [], share)
    return replace(listing, expected={} if listing.held_out is not None else expected, missing=missing)


def read_info(path: Path) -> tuple[dict[str, int], list[str]]:
    """Read (samples of each split, names of the shards) from _info.json; empty if there is no such file.

    Raises UserError if it cannot be read.
    """
    if not path.is_file():
        return {}, []
    try:
        splits = json.loads(path.read_text()).get("splits", {})
        known = {SPLITS[name]: info for name, info in splits.items() if name in SPLITS}
        counts = {split: int(info["num_samples"]) for split, info in known.items()}
        names = [str(name) for info in known.values() for name in info.get("filenames", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"prepare.source: {path} has no sample counts of its splits ({error!r})") from error
    return counts, [name for name in names if Path(name).name == name]


def read_rows(
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
    lists = {split: DiskList(row for path in paths for row in rows(path)) for split, paths in files.items()}
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


def find_missing_validation(files: Mapping[str, list[Path]], val_share: float | None) -> list[str]:
    there = "val" in files or "train" not in files or val_share is not None
    return [] if there else ["all files of the validation split"]


def check_complete(folder: Path, missing: list[str], allow_incomplete: bool) -> list[str]:
    """Return `missing`, which the store records. Raises UserError if files are missing, unless `allow_incomplete`."""
    if missing and not allow_incomplete:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"prepare.source: {folder}: {missing[0]}{more} missing; {ADVICE}")
    return missing


def find_missing_parts(files: Mapping[str, list[Path]]) -> list[str]:
    """Names of missing files, given that names state the number of files, as train-00000-of-00294.parquet."""
    missing = []
    for paths in files.values():
        parts = [match for path in paths if (match := re.match(r"(.*-)(\d+)-of-(\d+)(\..*)", path.name))]
        for count in {int(match[3]) for match in parts}:
            present = {int(match[2]) for match in parts if int(match[3]) == count}
            begin, _, width, end = parts[0][1], parts[0][2], len(parts[0][3]), parts[0][4]
            absent = sorted(set(range(count)) - present)
            missing += [f"{begin}{number:0{width}d}-of-{count:0{width}d}{end}" for number in absent]
    return missing


def find_missing_numbers(files: Mapping[str, list[Path]]) -> list[str]:
    """Names of missing files, given that numbers start at 0 without gaps; files after the last are not detected."""
    missing = []
    for paths in files.values():
        numbered = [match for path in paths if (match := re.match(r"(.*\D)(\d+)(\.tar(?:\.gz)?)$", path.name))]
        if numbered:
            begin, digits, end = numbered[0].groups()
            present = {int(match[2]) for match in numbered}
            absent = sorted(set(range(max(present))) - present)
            missing += [f"{begin}{number:0{len(digits)}d}{end}" for number in absent]
    return missing


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
        place = ByteLocation(parse_path(str(path)), *location)
        yield ImageRecord(f"{split}/{name_of(row)}", -1 if class_index is None else class_index, place)
