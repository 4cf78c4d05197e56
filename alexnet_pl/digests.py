"""Digests of files and names."""

import hashlib
from pathlib import Path


def name_digest(name: str) -> int:
    """64-bit digest of a name, used where millions of names would take too much memory."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf8", "surrogateescape"), digest_size=8).digest(), "little")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
