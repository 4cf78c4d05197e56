"""Images of a Parquet or Arrow file, an archive or a WebDataset shard, and their names."""

import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from alexnet_pl.data.archives.arrow import read_images
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.parquet import read_labels
from alexnet_pl.data.archives.tar import WNID, Member, list_members, whole_archive
from alexnet_pl.data.sources.base import SkippedFiles
from alexnet_pl.data.sources.image_files import SUFFIXES, is_image
from alexnet_pl.errors import UserError

WNID_IN_NAME = re.compile(rf"(?<![A-Za-z0-9]){WNID.pattern}(?!\d)")  # scan20230115_001.jpg has none


class SourceRow(NamedTuple):
    """Image of a copy: its path there, its class as a wnid, a number, or both, and its location."""

    path: str
    wnid: str | None
    label: int | None
    location: ByteLocation


def find_naming(rows: Iterable[list[Any]]) -> Callable[[SourceRow], str]:
    """Function from a row to its image's name: the shortest one that no two images of a split share.

    ImageNet's file names, which contain a wnid, are unique: if a name appears twice, so does the image.
    """
    if any(SourceRow(*row).wnid for row in rows):
        return file_name
    short = (file_name, whole_path)
    return next((name for name in short if are_unique(name(SourceRow(*row)) for row in rows)), numbered_path)


def file_name(row: SourceRow) -> str:
    return PurePosixPath(row.path).name


def whole_path(row: SourceRow) -> str:
    return str(PurePosixPath(row.path))


def numbered_path(row: SourceRow) -> str:
    """With the name of the archive, and the row or byte there."""
    return f"{Path(str(row.location[0])).stem}/{row.location[1]}/{whole_path(row)}"


def are_unique(names: Iterable[str]) -> bool:
    """Whether all names differ. Keeps eight bytes of each: 0.1 GB for 14 million."""
    digests = array("q", map(hash, names))
    return len(np.unique(np.frombuffer(digests, np.int64))) == len(digests)


def find_wnid(name: str) -> str | None:
    """Find the last wnid in a name: n01440764_10026_n01440764.JPEG, ILSVRC2012_val_00000001_n01751748.JPEG."""
    wnids = WNID_IN_NAME.findall(PurePosixPath(name).name)
    return wnids[-1] if wnids else None


def read_archive_rows(path: Path, skipped_files: SkippedFiles) -> Iterator[SourceRow]:
    others = skipped_files.setdefault(path, Counter())
    for member in list_members(whole_archive(path)):
        if is_image(Path(member.name)):
            yield SourceRow(member.path, find_wnid(member.name), None, member.location)
        else:
            others[Path(member.name).suffix.lower()] += 1


def read_shard_rows(path: Path, skipped_files: SkippedFiles) -> Iterator[SourceRow]:
    """Read a WebDataset shard: the files of a sample are adjacent and share their path up to the name's first dot.

    Those of labeled samples without an image that can be read are counted in `skipped_files`.
    """
    others = skipped_files.setdefault(path, Counter())
    sample: dict[str, Member] = {}
    key = None
    for member in list_members(whole_archive(path)):
        stem, _, kind = member.name.partition(".")
        stem = str(PurePosixPath(member.path).with_name(stem))
        if stem != key and sample:
            yield from read_sample(path, str(key), sample, others)
            sample = {}
        key, sample[f".{kind.lower()}"] = stem, member
    if sample:
        yield from read_sample(path, str(key), sample, others)


def read_sample(path: Path, key: str, sample: Mapping[str, Member], others: Counter[str]) -> Iterator[SourceRow]:
    image = next((sample[kind] for kind in SUFFIXES if kind in sample), None)
    if image is None:
        if ".cls" in sample:
            others.update({*sample} - {".cls", ".json"} or [".cls"])
        return
    metadata = parse_json(path, key, sample[".json"].location.read()) if ".json" in sample else {}
    if not isinstance(metadata, dict):
        raise UserError(f"prepare.source: {path}: {key}.json is not an object of names and values")
    label = parse_json(path, key, sample[".cls"].location.read()) if ".cls" in sample else metadata.get("label")
    name = str(metadata.get("filename") or image.path)
    check_label(path, f"{key}.cls", label)
    yield SourceRow(name, find_wnid(name) or find_wnid(image.name), label, image.location)


def parse_json(path: Path, key: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(f"prepare.source: {path}: the description of {key} is not JSON ({error})") from error


def read_table_rows(path: Path) -> Iterator[SourceRow]:
    for number, (name, label) in enumerate(read_labels(path)):
        check_label(path, f"label of row {number}", label)
        file_path = name or f"{path.stem}-{number:06d}.JPEG"
        yield SourceRow(file_path, find_wnid(file_path), label, ByteLocation(path, number, None, "parquet"))


def read_arrow_rows(path: Path) -> Iterator[SourceRow]:
    for number, image in enumerate(read_images(path)):
        check_label(path, f"label of row {number}", image.label)
        file_path = image.path or f"{path.stem}-{number:06d}.JPEG"
        yield SourceRow(file_path, find_wnid(file_path), image.label, ByteLocation(path, image.start, image.size))


def check_label(path: Path, where: str, label: Any) -> None:
    if label is not None and not isinstance(label, int):
        raise UserError(f"prepare.source: {path}: {where} is not a class number ({label!r})")
