"""Checksums and fingerprint of a store: BLAKE3, as `b3sum` prints it, at four times the rate of SHA-256."""

import hashlib
import json
from pathlib import Path
from typing import Any

from blake3 import blake3


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


def list_small_files(manifest: dict[str, Any]) -> list[str]:
    """The names of all files but those with images and the description itself."""
    kinds = ["labels.npy", "names.jsonl", *(["index.npy"] if manifest["encoding"]["name"] == "jpeg" else [])]
    return [
        *(f"{split}.{kind}" for split in manifest["splits"] for kind in kinds),
        "mean.npy",
        "covariance.npy",
        "odd.json",
    ]


def compute_fingerprint(manifest: dict[str, Any], root: Path) -> str:
    """Fingerprint of a manifest, with or without its own, and the small files at `root`."""
    content = {key: value for key, value in manifest.items() if key != "fingerprint"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in list_small_files(manifest):
        with (root / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
