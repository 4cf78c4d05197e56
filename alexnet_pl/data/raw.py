"""The store's `raw` encoding: records of 3 · size · size bytes, one image as RGB planes, nothing between them.

A record of 256 × 256 pixels is 48 pages of memory exactly, and reading a batch is one copy from the mapped files.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from alexnet_pl.errors import UserError

NAME, SUFFIX = "raw", "u8"


class RawWriter:
    """One shard. An image that could not be read leaves its record black, so that all others keep their place."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.black = file, bytes(3 * size**2)

    def add(self, number: int, label: int, image: np.ndarray | None) -> int:
        """Write image `number` of the split, contiguous (3, size, size) uint8 or None; the bytes it takes."""
        return self.file.write(self.black if image is None else image.data)

    def finish(self) -> None:
        pass


class RawReader:
    """The records of a split, mapped into memory, read-only. Raises UserError for a shard of a wrong size."""

    channels_last = False

    def __init__(self, paths: Iterable[Path], counts: Iterable[int], size: int) -> None:
        self.shards: list[np.ndarray] = []
        for path, count in zip(paths, counts, strict=True):
            shape = (count, 3, size, size)
            if (found := size_of(path)) != np.prod(shape, dtype=np.int64):
                raise UserError(f"{path}: {found:,} bytes, not those of {count:,} images; prepare it again")
            self.shards.append(np.asarray(np.memmap(path, np.uint8, "r", shape=shape)))
        self.per_shard = len(self.shards[0])

    def read(self, slots: np.ndarray, out: np.ndarray) -> None:
        if len(self.shards) == 1:
            np.take(self.shards[0], slots, axis=0, out=out, mode="clip")  # "raise" would buffer `out`
            return
        for row, (shard, record) in enumerate(zip(*np.divmod(slots, self.per_shard), strict=True)):
            out[row] = self.shards[shard][record]


def size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
