"""Verification of every byte of a store against its manifest."""

from collections.abc import Iterator
from pathlib import Path

from alexnet_pl.data.store.encoding import shard_name
from alexnet_pl.data.store.integrity import DESCRIPTION, checksum, hash_files, list_small_files
from alexnet_pl.data.store.store import Store
from alexnet_pl.progress import track


def find_corrupt(store: Store) -> Iterator[str]:
    """Yield a line for each corrupt or missing file of a store, with the range of images for shards.

    If store.json itself was changed, its checksums say nothing about the other files.
    """
    corrupt = store.find_corrupt_small()
    for name in corrupt:
        yield f"{store.root / name}: {'corrupt' if (store.root / name).is_file() else 'missing'}"
    if DESCRIPTION in corrupt:
        return
    for name in [] if corrupt else find_wrong_checksums(store):
        yield f"{store.root / DESCRIPTION}: files.{name} is not the checksum of {name}"
    for split in store.splits:
        store.fetch(split)
        for number in find_corrupt_shards(store, split):
            first = number * store.manifest.shard
            last = min(first + store.manifest.shard, store.manifest.splits[split].records) - 1
            path = shard_path(store, split, number)
            yield f"{path}: {'corrupt' if path.is_file() else 'missing'} (images {first:,} to {last:,})"


def find_wrong_checksums(store: Store) -> list[str]:
    """Files whose checksum in store.json is wrong or missing, although they match its fingerprint."""
    hashes = store.manifest.files
    return [name for name in list_small_files(store.description) if hashes.get(name) != checksum(store.root / name)]


def shard_path(store: Store, split: str, number: int) -> Path:
    return store.root / shard_name(split, number, store.encoding)


def find_corrupt_shards(store: Store, split: str) -> Iterator[int]:
    """Yield the numbers of shards whose checksum differs."""
    expected = store.manifest.splits[split].blake3
    hashes = hash_files(shard_path(store, split, number) for number in range(len(expected)))
    for number, actual in enumerate(track(hashes, f"verify {split:<5}", len(expected), transient=False)):
        if actual != expected[number] and not store.fetch_again(split, number):
            yield number
