"""Checksums (BLAKE3, as `b3sum` prints them, four times as fast as SHA-256) and fingerprint of a store."""

import hashlib
import json
from pathlib import Path
from typing import Any

from blake3 import blake3

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
    """SHA-256 over the manifest, without its fingerprint, and the small files at `root`."""
    content = {key: value for key, value in manifest.items() if key != "fingerprint"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in list_small_files(manifest):
        with (root / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
