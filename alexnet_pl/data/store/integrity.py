"""Checksums and fingerprint of a store: BLAKE3, as `b3sum` prints it, at four times the rate of SHA-256."""

import hashlib
import json
from pathlib import Path
from typing import Any

from blake3 import blake3

from alexnet_pl.data.store.manifest import MANIFEST, StoreManifest
from alexnet_pl.files import JsonObject

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


def small_files(manifest: StoreManifest) -> list[str]:
    """Names of all files but those with images and the manifest itself."""
    kinds = ["labels.npy", "names.jsonl", *OWN_FILES.get(manifest.encoding["name"], [])]
    return [
        *(f"{split}.{kind}" for split in manifest.splits for kind in kinds),
        "mean.npy",
        "covariance.npy",
        "odd.json",
    ]


def read_fingerprint(root: Path, manifest: StoreManifest) -> str:
    """Fingerprint of the store.json at `root`, whichever version wrote it, and of the small files beside it."""
    return fingerprint(json.loads((root / MANIFEST).read_text()), root, manifest)


def fingerprint(content: JsonObject, root: Path, manifest: StoreManifest) -> str:
    """SHA-256 of a manifest's `content`, without the fingerprint in it, and of the small files at `root`."""
    described = {key: value for key, value in content.items() if key != "fingerprint"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in small_files(manifest):
        with (root / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
