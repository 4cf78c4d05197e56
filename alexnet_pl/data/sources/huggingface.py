"""ImageNet as Hugging Face distributes it: imagenet-1k's Parquet files, its older archives, timm's WebDataset shards.

    data/train-00000-of-00294.parquet …, validation-…, test-…      columns image: {bytes, path}, label (−1 in test)
    data/train_images_0.tar.gz … 4, val_images.tar.gz, test_images.tar.gz    n01440764_10026_n01440764.JPEG
    imagenet22k-train-0000.tar …, imagenet22k-validation-…                   key.jpg, key.cls, key.json
    _info.json beside such shards                                            how many samples each split has

A class is known by the wnid in an image's name. Labels are numbers in the order of the sorted wnids; where both are
there they must agree.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_pl.data.archives.gzip import DiskList
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.tar import Member, is_complete, members
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.errors import UserError

SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
SPLIT = re.compile(r"(?:^|[-_.])(train|validation|valid|val|test)(?=[-_.\d]|$)")
SHARD = re.compile(r".*\d{3,}\.tar$")
WNID = re.compile(r"n\d{8}")
ALLOW = "get it again, or prepare what is there with prepare.allow_incomplete=true"
IMAGES = (".jpg", ".jpeg", ".png", ".webp")


class Row(NamedTuple):
    """One image: its name, what it says of its class (a wnid, a number, or both), and where it lies."""

    name: str
    wnid: str | None
    label: int | None
    place: ByteLocation


def find_tables(source: Path) -> dict[str, list[Path]]:
    return by_split(source, "*.parquet")


def find_packed(source: Path) -> dict[str, list[Path]]:
    return by_split(source, "*_images*.tar.gz")


def find_shards(source: Path) -> dict[str, list[Path]]:
    found = by_split(source, "*.tar")
    return {s: own for s, paths in found.items() if (own := [p for p in paths if SHARD.match(p.name)])}


def by_split(source: Path, pattern: str) -> dict[str, list[Path]]:
    """Files of a folder or its data/, by the split in their names; `train` comes first."""
    found: dict[str, list[Path]] = {}
    for path in sorted((*source.glob(pattern), *(source / "data").glob(pattern))):
        if match := SPLIT.search(path.name):
            found.setdefault(SPLITS[match[1]], []).append(path)
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def read_tables(found: Mapping[str, list[Path]], allow_incomplete: bool = False) -> DatasetListing:
    first = next(iter(found.values()))[0]
    missing = check_whole(first.parent, missing_parts(found), allow_incomplete)
    return replace(read_rows(first.parent, found, rows_of_table, names_in(first)), missing=missing)


def read_packed(found: Mapping[str, list[Path]], allow_incomplete: bool = False) -> DatasetListing:
    where = next(iter(found.values()))[0].parent
    missing = check_whole(where, missing_numbers(found), allow_incomplete)
    return replace(read_rows(where, found, rows_of_archive, []), missing=missing)


def read_shards(found: Mapping[str, list[Path]], allow_incomplete: bool = False) -> DatasetListing:
    where = next(iter(found.values()))[0].parent
    expected, listed = read_info(where / "_info.json")
    missing = missing_numbers(found)
    missing += [name for name in listed if name not in missing and not (where / name).is_file()]
    if not listed:
        absent = [split for split, count in expected.items() if count and split not in found]
        missing += [f"all files of {split}" for split in absent if split != "val"]
    missing = check_whole(where, missing, allow_incomplete)
    return replace(read_rows(where, found, rows_of_shard, []), expected=expected, missing=missing)


def read_info(path: Path) -> tuple[dict[str, int], list[str]]:
    """(samples of each split, names of the shards) as the one who packed them wrote them down; nothing where nobody
    did."""
    if not path.is_file():
        return {}, []
    try:
        splits = json.loads(path.read_text()).get("splits", {})
        known = {SPLITS[name]: about for name, about in splits.items() if name in SPLITS}
        counts = {split: int(about["num_samples"]) for split, about in known.items()}
        names = [str(name) for about in known.values() for name in about.get("filenames", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"prepare.source: {path} does not tell the samples of its splits ({error!r})") from error
    return counts, [name for name in names if Path(name).name == name]


def read_rows(
    where: Path, found: Mapping[str, list[Path]], rows: Callable[[Path], Iterable[Row]], names: list[str]
) -> DatasetListing:
    """Listed once into a file; the classes are known when all is listed. Raises UserError for labels that disagree."""
    if "train" not in found:
        raise UserError(f"prepare.source: {where} has no files of the training split, only of {', '.join(found)}")
    spools = {split: DiskList(row for path in paths for row in rows(path)) for split, paths in found.items()}
    classes = classes_of(where, spools)
    index = {wnid: label for label, wnid in enumerate(classes)}
    for split, spool in spools.items():
        check_labels(where, split, spool, index)
    readable = dict(zip(classes, names, strict=True)) if len(names) == len(classes) else {}
    splits = {split: LazyRecords(lambda s=split, r=spool: items(s, r, index)) for split, spool in spools.items()}
    return DatasetListing([(name, readable.get(name, name)) for name in classes], splits)


def check_whole(where: Path, missing: list[str], allow_incomplete: bool) -> list[str]:
    """`missing`, for the store to carry. Raises UserError naming them unless incomplete copies are allowed."""
    if missing and not allow_incomplete:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"prepare.source: {where}: {missing[0]}{more} missing; {ALLOW}")
    return missing


def missing_parts(found: Mapping[str, list[Path]]) -> list[str]:
    """train-00000-of-00294.parquet says how many there are."""
    missing = [] if "val" in found or "train" not in found else ["all files of the validation split"]
    for paths in found.values():
        parts = [match for path in paths if (match := re.match(r"(.*-)(\d+)-of-(\d+)(\..*)", path.name))]
        for count in {int(match[3]) for match in parts}:
            there = {int(match[2]) for match in parts if int(match[3]) == count}
            begin, _, width, end = parts[0][1], parts[0][2], len(parts[0][3]), parts[0][4]
            absent = sorted(set(range(count)) - there)
            missing += [f"{begin}{number:0{width}d}-of-{count:0{width}d}{end}" for number in absent]
    return missing


def missing_numbers(found: Mapping[str, list[Path]]) -> list[str]:
    """Numbers begin at 0 and leave none out; how many there should be, the names do not say."""
    missing = [] if "val" in found or "train" not in found else ["all files of the validation split"]
    for paths in found.values():
        numbered = [match for path in paths if (match := re.match(r"(.*\D)(\d+)(\.tar(?:\.gz)?)$", path.name))]
        if numbered:
            begin, digits, end = numbered[0].groups()
            there = {int(match[2]) for match in numbered}
            absent = sorted(set(range(max(there))) - there)
            missing += [f"{begin}{number:0{len(digits)}d}{end}" for number in absent]
    return missing


def classes_of(where: Path, spools: Mapping[str, DiskList]) -> list[str]:
    """The sorted wnids; where names carry none, the numbers themselves, from 0."""
    wnids = {wnid for spool in spools.values() for _, wnid, _, _ in spool if wnid}
    if wnids:
        return sorted(wnids)
    labels = {label for _, _, label, _ in spools["train"] if label is not None}
    if not labels or min(labels) < 0:
        raise UserError(f"prepare.source: {where}: training images without a class")
    return [f"{label:05d}" for label in range(max(labels) + 1)]


def check_labels(where: Path, split: str, spool: DiskList, index: Mapping[str, int]) -> None:
    """The silent error of every label file is to be read by another order than it was written in."""
    for name, wnid, label, _ in spool:
        if wnid and label is not None and label >= 0 and index[wnid] != label:
            raise UserError(
                f"prepare.source: {where}: {name} is of {wnid}, class {index[wnid]} of {len(index):,} in sorted order, "
                f"but labelled {label}; are all {split} files there?"
            )
        if not wnid and label is not None and label >= len(index):
            raise UserError(
                f"prepare.source: {where}: {name} is labelled {label}, but there are only {len(index)} classes"
            )
        if split != "test" and not wnid and (label is None or label < 0):
            raise UserError(f"prepare.source: {where}: {name} of {split} has no class")


def items(split: str, spool: DiskList, index: Mapping[str, int]) -> Iterator[ImageRecord]:
    for name, wnid, label, (path, *where) in spool:
        known = index[wnid] if wnid else label
        yield ImageRecord(f"{split}/{name}", -1 if known is None else known, ByteLocation(Path(path), *where))


def wnid_in(name: str) -> str | None:
    """The last wnid of a name: n01440764_10026_n01440764.JPEG, ILSVRC2012_val_00000001_n01751748.JPEG."""
    found = WNID.findall(Path(name).name)
    return found[-1] if found else None


def rows_of_archive(path: Path) -> Iterator[Row]:
    for member in members(is_complete(path)):
        if member.name.lower().endswith(IMAGES):
            yield Row(member.name, wnid_in(member.name), None, member.place)


def rows_of_shard(path: Path) -> Iterator[Row]:
    """WebDataset: the files of one sample follow each other and share their name up to the first dot."""
    sample: dict[str, Member] = {}
    key = None
    for member in members(is_complete(path)):
        stem, _, kind = member.name.partition(".")
        if stem != key and sample:
            yield from row_of_sample(path, str(key), sample)
            sample = {}
        key, sample[f".{kind.lower()}"] = stem, member
    if sample:
        yield from row_of_sample(path, str(key), sample)


def row_of_sample(path: Path, key: str, sample: Mapping[str, Member]) -> Iterator[Row]:
    image = next((sample[kind] for kind in IMAGES if kind in sample), None)
    if image is None:
        return
    about = parsed(path, key, sample[".json"].place.read()) if ".json" in sample else {}
    label = parsed(path, key, sample[".cls"].place.read()) if ".cls" in sample else about.get("label")
    name = str(about.get("filename") or image.name)
    if label is not None and not isinstance(label, int):
        raise UserError(f"prepare.source: {path}: {key}.cls holds no class number ({label!r})")
    yield Row(Path(name).name, wnid_in(name) or wnid_in(image.name), label, image.place)


def parsed(path: Path, key: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(f"prepare.source: {path}: {key} is described by what is no JSON ({error})") from error


def rows_of_table(path: Path) -> Iterator[Row]:
    from alexnet_pl.data.archives.parquet import columns

    for number, (name, label) in enumerate(columns(path)):
        inside = Path(name or f"{path.stem}-{number:06d}.JPEG").name
        yield Row(inside, wnid_in(inside), label, ByteLocation(path, number, None, "parquet"))


def names_in(path: Path) -> list[str]:
    from alexnet_pl.data.archives.parquet import class_names

    return class_names(path)
