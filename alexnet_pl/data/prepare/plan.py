"""Plan of a store: the assignment of images to shards. Records are kept on disk, so memory use is constant."""

import hashlib
import json
import stat
from array import array
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.open_files import close_files
from alexnet_pl.data.archives.remote import file_version, parse_path
from alexnet_pl.data.boxes.annotation import Annotation, Box
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.sources.disk_list import LISTED
from alexnet_pl.digests import name_digest
from alexnet_pl.errors import UserError, reason
from alexnet_pl.progress import show_count


class Part(NamedTuple):
    """Part `number`, from 1, of `of` parts of the shards: the work of one of several machines."""

    number: int = 1
    of: int = 1


class Shard(NamedTuple):
    """Shard of a plan: `count` images of a split from image `start`; `offset`: their position in the plan's file."""

    split: str
    number: int
    start: int
    count: int
    offset: int


class SplitPlan:
    """Plan of one split, written to a file of records."""

    def __init__(self, path: Path, split: str, per_shard: int) -> None:
        self.file: IO[str] = path.open("w", encoding="utf-8")
        self.split, self.per_shard, self.count = split, per_shard, 0
        self.names = array("Q")  # eight bytes of each name's digest: 0.1 GB for 14 million
        self.offsets: list[int] = []
        self.digest = hashlib.sha256()
        self.class_counts: Counter[int] = Counter()

    def add(self, item: ImageRecord, size: int | None) -> None:
        annotation = [item.annotation] if item.annotation else []
        identity = [item.name, item.label, size, *annotation]
        if self.count % self.per_shard == 0:
            self.offsets.append(self.file.tell())
        self.file.write(json.dumps(item, default=str) + "\n")
        self.digest.update(json.dumps(identity).encode())
        self.names.append(name_digest(item.name))
        self.class_counts[item.label] += 1
        self.count += 1

    def check_names(self) -> None:
        """Raise UserError if two images have the same name."""
        digests, counts = np.unique(np.frombuffer(self.names, np.uint64), return_counts=True)
        if not (duplicates := set(digests[counts > 1].tolist())):
            return
        seen = set()
        with Path(self.file.name).open(encoding="utf-8") as file:
            for name in (json.loads(line)[0] for line in file):
                if name in seen:
                    raise UserError(f"prepare.source: two images are called {name}")
                if name_digest(name) in duplicates:
                    seen.add(name)

    def shards(self) -> list[Shard]:
        starts = range(0, self.count, self.per_shard)
        return [
            Shard(self.split, number, start, min(self.per_shard, self.count - start), offset)
            for number, (start, offset) in enumerate(zip(starts, self.offsets, strict=True))
        ]


class Plan:
    """Plan of a store, made by listing the source.

    identity: digest of each split, which does not depend on where the images are stored.
    archives: size and modification time of each archive, to detect changes while it is read.

    Raises UserError if a split is empty, if two images have one name, or if the source cannot be read.
    """

    def __init__(self, source: DatasetListing, folder: Path, per_shard: int) -> None:
        split_plans: dict[str, SplitPlan] = {
            split: SplitPlan(folder / split, split, per_shard) for split in source.splits
        }
        archives: set[Path] = set()
        try:
            with show_count(LISTED) as add_one:
                for split, item, size in name_source_in_errors(with_sizes(source.items())):
                    add_one()
                    split_plans[split].add(item, size)
                    if isinstance(item.location, ByteLocation) and (
                        item.location.size is not None or item.location.compression
                    ):
                        archives.add(item.location.path)
        finally:
            for split_plan in split_plans.values():
                split_plan.file.close()
            close_files()
        for split, split_plan in split_plans.items():
            split_plan.check_names()
            if not split_plan.count:
                raise describe_empty(split, source)
        self.folder = folder
        self.shards = [shard for each in split_plans.values() for shard in each.shards()]
        self.counts = {split: each.count for split, each in split_plans.items()}
        self.class_counts = split_plans["train"].class_counts if "train" in split_plans else Counter()
        self.identity = {split: each.digest.hexdigest() for split, each in split_plans.items()}
        self.archives = {path: version_of(path) for path in archives}

    def name_lines(self, split: str) -> Iterator[str]:
        """Names of a split, one JSON string per line."""
        with (self.folder / split).open(encoding="utf-8") as file:
            yield from (json.dumps(json.loads(line)[0]) + "\n" for line in file)

    def check_unchanged(self) -> None:
        for path, before in self.archives.items():
            if version_of(path) != before:
                raise UserError(f"prepare.source: {path} changed while it was read; prepare again when it is complete")


def describe_empty(split: str, source: DatasetListing) -> UserError:
    """Error for a split without images; names `prepare.val_share` if that leaves none."""
    if source.held_out is None:
        return UserError(f"prepare.source: no images of {split}")
    advice = f"choose a {'larger' if split == 'val' else 'smaller'} share"
    return UserError(f"prepare.val_share={source.held_out:g}: leaves no images of {split}; {advice}")


Sized = tuple[str, ImageRecord, int | None]  # split, record, and its size by `record_size`
PER_TASK, THREADS = 64, 16  # images per task of a thread, and threads that wait for a network's file system


def with_sizes(records: Iterator[tuple[str, ImageRecord]]) -> Iterator[Sized]:
    """Add the size of each image, read by several threads."""
    with ThreadPoolExecutor(THREADS, "sizes") as threads:
        while block := list(islice(records, PER_TASK * THREADS)):
            parts = [block[start : start + PER_TASK] for start in range(0, len(block), PER_TASK)]
            yield from (each for part in threads.map(sized, parts) for each in part)


def sized(part: list[tuple[str, ImageRecord]]) -> list[Sized]:
    return [(split, item, record_size(item.location)) for split, item in part]


def name_source_in_errors(records: Iterator[Sized]) -> Iterator[Sized]:
    """Pass records on; turn an OSError into a UserError that names the source, not the store."""
    try:
        yield from records
    except OSError as error:
        raise UserError(f"prepare.source: {reason(error)}") from error


def read_records(listing: Path, shard: Shard) -> Iterator[ImageRecord]:
    """Read the image records of a shard from `listing`, the plan's folder."""
    with (listing / shard.split).open(encoding="utf-8") as file:
        file.seek(shard.offset)
        for _ in range(shard.count):
            yield parse_image_record(file.readline())


def parse_image_record(line: str) -> ImageRecord:
    name, label, location, annotation = json.loads(line)
    found = ByteLocation(parse_path(location[0]), *location[1:]) if isinstance(location, list) else location
    return ImageRecord(name, label, found, None if annotation is None else annotation_of(*annotation))


def annotation_of(boxes: list[list[Any]], *rest: int) -> Annotation:
    return Annotation([Box(*box) for box in boxes], *rest)


def record_size(location: Any) -> int | None:
    """Size in bytes, to detect another image of the same name; None for synthetic images and table rows.

    Raises UserError for a link to nothing.
    """
    if not isinstance(location, ByteLocation) or location.compression == "parquet":
        return None
    if location.size is not None:
        return location.size
    try:
        status = location.path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if location.path.is_symlink():
            problem = f"is a link to {location.path.readlink()}, which does not exist"
            raise UserError(f"prepare.source: {location.path} {problem}; get it, or remove the link") from error
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def version_of(path: Path) -> tuple[int, int | str]:
    try:
        return file_version(path)
    except OSError as error:
        raise UserError(f"prepare.source: {path} is no longer there ({error.strerror})") from error
