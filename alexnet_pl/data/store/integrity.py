"""Checksums (BLAKE3, as `b3sum` prints them, four times as fast as SHA-256) and fingerprint of a store."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

from alexnet_pl.json_records import JsonObject
from alexnet_pl.runtime.cores import cores

DESCRIPTION = "store.json"
# Files that a split has only in these encodings
OWN_FILES = {"jpeg": ["index.npy"], "whole": ["index.npy", "sizes.npy", "boxes.npy", "box_offsets.npy", "coverage.npy"]}


def checksum(path: Path) -> str:
    """BLAKE3 checksum of a file, in hexadecimal."""
    return blake3().update_mmap(path).hexdigest()


def hash_files(paths: Iterable[Path]) -> Iterator[str | None]:
    """Compute the checksums of files in threads; None for one that does not exist."""
    with ThreadPoolExecutor(cores()) as threads:
        yield from threads.map(lambda path: checksum(path) if path.is_file() else None, paths)


def list_small_files(description: JsonObject) -> list[str]:
    """Names of all files of a store except shards and store.json."""
    kinds = ["labels.npy", "names.jsonl", *OWN_FILES.get(description["encoding"]["name"], [])]
    return [
        *(f"{split}.{kind}" for split in description["splits"] for kind in kinds),
        "mean.npy",
        "covariance.npy",
        "odd.json",
    ]


def compute_fingerprint(description: JsonObject, root: Path) -> str:
    """SHA-256 over the content of store.json, without its own checksums, and the small files at `root`."""
    content = {key: value for key, value in description.items() if key not in ("fingerprint", "files")}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in list_small_files(description):
        with (root / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def corrupt_files(description: JsonObject, root: Path) -> list[str]:
    """Names of small files of a store that are missing or corrupt; store.json itself if its fingerprint differs."""
    names = list_small_files(description)
    missing = [name for name in names if not (root / name).is_file()]
    if not missing and compute_fingerprint(description, root) == description["fingerprint"]:
        return []
    hashes = description["files"]
    present = [name for name in names if name in hashes and name not in missing]
    return missing + [name for name in present if checksum(root / name) != hashes[name]] or [DESCRIPTION]
