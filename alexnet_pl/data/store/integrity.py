"""Checksums and fingerprint of a store: BLAKE3, as `b3sum` prints it, at four times the rate of SHA-256."""

import hashlib
import json
from pathlib import Path
from typing import Any

from blake3 import blake3

DESCRIPTION = "store.json"
# Files of a split by encoding
OWN_FILES = {"jpeg": ["index.npy"], "whole": ["index.npy", "sizes.npy", "boxes.npy", "box_offsets.npy", "coverage.npy"]}


class Checksum:
    """BLAKE3 of bytes as they are written."""

    def __init__(self) -> None:
        self.digest = blake3()

    def update(self, data: Any) -> None:
        self.digest.update(data)

    def hexdigest(self) -> str:
        return self.digest.hexdigest()


def checksum(path: Path) -> str:
    """BLAKE3 of a whole file, in hexadecimal digits."""
    return blake3().update_mmap(path).hexdigest()


def small_files(about: dict[str, Any]) -> list[str]:
    """The names of all files but those with images and the description itself."""
    kinds = ["labels.npy", "names.jsonl", *OWN_FILES.get(about["encoding"]["name"], [])]
    return [
        *(f"{split}.{kind}" for split in about["splits"] for kind in kinds),
        "mean.npy",
        "covariance.npy",
        "odd.json",
    ]


def fingerprint(about: dict[str, Any], root: Path) -> str:
    """Fingerprint of a manifest, without the checksums that it holds itself, and the small files at `root`."""
    described = {key: value for key, value in about.items() if key not in ("fingerprint", "files")}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in small_files(about):
        with (root / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def damaged_files(about: dict[str, Any], root: Path) -> list[str]:
    """The names of small files of a store that are missing or not as they were written, or of its description.

    In stores made before descriptions had a checksum of each, a changed file is not told from a changed description.
    """
    names = small_files(about)
    missing = [name for name in names if not (root / name).is_file()]
    if not missing and fingerprint(about, root) == about["fingerprint"]:
        return []
    hashes = about.get("files") or {}
    there = [name for name in names if name in hashes and name not in missing]
    return missing + [name for name in there if checksum(root / name) != hashes[name]] or [DESCRIPTION]
