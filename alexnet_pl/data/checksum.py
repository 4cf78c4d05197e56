"""BLAKE3 of a store's shards, what `b3sum` says of the file, at four times the rate of SHA-256.

It is compiled code, a dependency like any other; `bench` also runs on a machine that has little beside torch and
Lightning, where the stores that it makes for itself have no checksums.
"""

from pathlib import Path
from typing import Any

from alexnet_pl.errors import UserError

try:
    from blake3 import blake3
except ImportError:  # a wheel that no machine without a network can be asked to have
    blake3 = None  # type: ignore[assignment]


class Checksum:
    """Of bytes as they are written; None where there is no BLAKE3."""

    def __init__(self) -> None:
        self.digest = blake3() if blake3 else None

    def update(self, data: Any) -> None:
        if self.digest is not None:
            self.digest.update(data)

    def told(self) -> str | None:
        return self.digest.hexdigest() if self.digest is not None else None


def checksum(path: Path) -> str:
    """Of a whole file. Raises UserError where there is no BLAKE3."""
    if blake3 is None:
        raise UserError(f"{path}: cannot be checked without BLAKE3; pip install blake3")
    return blake3().update_mmap(path).hexdigest()
