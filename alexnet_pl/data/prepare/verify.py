"""Verify every byte of a store against its manifest."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

from alexnet_pl.data.store.encoding import StoreEncoding, shard_name
from alexnet_pl.data.store.integrity import DESCRIPTION, checksum, damaged_files, small_files
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.runtime import cores


def find_corrupt(store: Store) -> Iterator[str]:
    """What is not as it was, a line each: shards by the numbers of their images, and every other file.

    Where the description itself was changed, its checksums say nothing of the other files.
    """
    damaged = damaged_files(store.manifest, store.root)
    for name in damaged:
        yield f"{store.root / name}: {'damaged' if (store.root / name).is_file() else 'missing'}"
    if DESCRIPTION in damaged:
        return
    for name in [] if damaged else odd_checksums(store):
        yield f"{store.root / DESCRIPTION}: files.{name} is not the checksum of {name}"
    for split in store.splits:
        store.fetch(split)
        for number in corrupt_shards(store, split):
            first = number * store.manifest["shard"]
            last = min(first + store.manifest["shard"], store.manifest["splits"][split]["records"]) - 1
            path = shard_path(store, split, number)
            yield f"{path}: {'damaged' if path.is_file() else 'missing'} (images {first:,} to {last:,})"


def odd_checksums(store: Store) -> list[str]:
    """Files of which the description has a wrong checksum or none, though they match its fingerprint."""
    hashes = store.manifest.get("files")
    if hashes is None:
        return []
    return [name for name in small_files(store.manifest) if hashes.get(name) != checksum(store.root / name)]


def shard_path(store: Store, split: str, number: int) -> Path:
    return store.root / shard_name(split, number, StoreEncoding(**store.manifest["encoding"]))


def corrupt_shards(store: Store, split: str) -> Iterator[int]:
    """The numbers of those whose bytes are not what was written."""
    wanted = store.manifest["splits"][split]["blake3"]
    if None in wanted:
        raise UserError(f"{store.root}: has no checksums, as blake3 was not installed where it was made")
    with ThreadPoolExecutor(cores()) as threads:
        hashes = threads.map(lambda number: found_in(shard_path(store, split, number)), range(len(wanted)))
        for number, found in enumerate(track(hashes, f"verify {split:<5}", len(wanted))):
            if found != wanted[number] and not store.fetch_again(split, number):
                yield number


def found_in(path: Path) -> str | None:
    """Its checksum; None where it is not there."""
    return checksum(path) if path.is_file() else None
