"""What identifies a store: its description and its small files; the description holds the hashes of the large ones."""

import hashlib
import json
from pathlib import Path
from typing import Any


def small_files(about: dict[str, Any]) -> list[str]:
    """The names of all files but those with images and the description itself."""
    kinds = ["labels.npy", "names.jsonl", *(["index.npy"] if about["encoding"]["name"] == "jpeg" else [])]
    return [
        *(f"{split}.{kind}" for split in about["splits"] for kind in kinds),
        "mean.npy",
        "covariance.npy",
        "odd.json",
    ]


def fingerprint(about: dict[str, Any], root: Path) -> str:
    """Of a description, with or without its fingerprint, and the small files at `root`."""
    described = {key: value for key, value in about.items() if key != "fingerprint"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in small_files(about):
        with (root / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
