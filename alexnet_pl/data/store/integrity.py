"""Checksums (BLAKE3, as `b3sum` prints them, four times as fast as SHA-256) and fingerprint of a store."""

import hashlib
import json
from pathlib import Path
from typing import Any

from blake3 import blake3

DESCRIPTION = "store.json"
# Files of a split by encoding
OWN_FILES = {"jpeg": ["index.npy"], "whole": ["index.npy", "sizes.npy", "boxes.npy", "box_offsets.npy", "coverage.npy"]}


class Checksum:
    """BLAKE3 checksum, updated as bytes are written."""

    def __init__(self) -> None:
        self.digest = blake3()

    def update(self, data: Any) -> None:
        self.digest.update(data)

    def hexdigest(self) -> str:
        return self.digest.hexdigest()


def checksum(path: Path) -> str:
    """BLAKE3 checksum of a file, in hexadecimal."""
    return blake3().update_mmap(path).hexdigest()


def list_small_files(manifest: dict[str, Any]) -> list[str]:
    """Names of all files of a store except shards and store.json."""
    kinds = ["labels.npy", "names.jsonl", *OWN_FILES.get(manifest["encoding"]["name"], [])]
    return [
        *(f"{split}.{kind}" for split in manifest["splits"] for kind in kinds),
        "mean.npy",
        "covariance.npy",
        "odd.json",
    ]


def compute_fingerprint(manifest: dict[str, Any], root: Path) -> str:
    """SHA-256 over the manifest, without its own checksums, and the small files at `root`."""
    content = {key: value for key, value in manifest.items() if key not in ("fingerprint", "files")}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in list_small_files(manifest):
        with (root / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def damaged_files(about: dict[str, Any], root: Path) -> list[str]:
    """The names of small files of a store that are missing or not as they were written, or of its description.

    In stores made before descriptions had a checksum of each, a changed file is not told from a changed description.
    """
    names = list_small_files(about)
    missing = [name for name in names if not (root / name).is_file()]
    if not missing and compute_fingerprint(about, root) == about["fingerprint"]:
        return []
    hashes = about.get("files") or {}
    there = [name for name in names if name in hashes and name not in missing]
    return missing + [name for name in there if checksum(root / name) != hashes[name]] or [DESCRIPTION]
