"""Verification of every byte of a store against its manifest, and repair of corrupt shards from the source."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

from rich.progress import track

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.plan import Plan, read_records
from alexnet_pl.data.prepare.run import build_plan, os_error_message
from alexnet_pl.data.prepare.shard import ImageReader, write_shard
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.store.encoding import StoreEncoding, shard_name
from alexnet_pl.data.store.integrity import checksum, compute_fingerprint, list_small_files
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.runtime import cores


def find_corrupt(store: Store) -> Iterator[str]:
    """Yield a line for each corrupt or missing file of a store, with the range of images for shards."""
    for split in store.splits:
        store.fetch(split)
        for number in find_corrupt_shards(store, split):
            first = number * store.manifest["shard"]
            last = min(first + store.manifest["shard"], store.manifest["splits"][split]["records"]) - 1
            path = shard_path(store, split, number)
            yield f"{path}: {'corrupt' if path.is_file() else 'missing'} (images {first:,} to {last:,})"
    if missing := [name for name in list_small_files(store.manifest) if not (store.root / name).is_file()]:
        yield f"{store.root / missing[0]}: missing"
        return
    if compute_fingerprint(store.manifest, store.root) != store.fingerprint:
        yield f"{store.root}: labels, names, statistics or store.json differ from what was written"


def shard_path(store: Store, split: str, number: int) -> Path:
    return store.root / shard_name(split, number, StoreEncoding(**store.manifest["encoding"]))


def find_corrupt_shards(store: Store, split: str) -> Iterator[int]:
    """Yield the numbers of shards whose checksum differs."""
    expected = store.manifest["splits"][split]["blake3"]
    if None in expected:
        raise UserError(f"{store.root}: has no checksums, since blake3 was not installed when it was made")
    with ThreadPoolExecutor(cores()) as threads:
        hashes = threads.map(lambda number: checksum_or_none(shard_path(store, split, number)), range(len(expected)))
        for number, actual in enumerate(track(hashes, f"verify {split:<5}", len(expected))):
            if actual != expected[number] and not store.fetch_again(split, number):
                yield number


def checksum_or_none(path: Path) -> str | None:
    """Checksum of a file; None if it does not exist."""
    return checksum(path) if path.is_file() else None


def repair(store: Store, source: DatasetListing, settings: StoreSettings, read: ImageReader) -> list[Path]:
    """Prepare the corrupt shards again; return their paths. Raises UserError if the source gives other images."""
    try:
        with build_plan(source, store.root, settings) as plan:
            check_same_images(plan, store)
            return [
                repair_shard(store, plan, split, n, settings, read)
                for split in store.splits
                for n in find_corrupt_shards(store, split)
            ]
    except OSError as error:
        raise UserError(f"data.root: {store.root}: {os_error_message(error)}") from error


def check_same_images(plan: Plan, store: Store) -> None:
    for split, info in store.manifest["splits"].items():
        with (store.root / f"{split}.names.jsonl").open() as file:
            same = plan.counts.get(split) == info["records"] and all(
                line == written for line, written in zip_longest(file, plan.name_lines(split))
            )
        if not same:
            raise UserError(f"prepare.source: these are not the images of {split} that {store.root} was made from")


def repair_shard(store: Store, plan: Plan, split: str, number: int, settings: StoreSettings, read: ImageReader) -> Path:
    shard = next(each for each in plan.shards if (each.split, each.number) == (split, number))
    path = shard_path(store, split, number)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        result = write_shard(
            temporary, read_records(plan.folder, shard), shard.start, store.size, settings.encoding, read, False
        )
        if result.blake3 != store.manifest["splits"][split]["blake3"][number]:
            raise UserError(f"{path}: the source gives other images than before, or a decoder has another version")
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
