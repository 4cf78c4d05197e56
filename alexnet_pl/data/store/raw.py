"""`raw` encoding of a store: records of 3 · size · size bytes, one image as RGB planes, without gaps.

A record of 256 × 256 pixels is 48 pages of memory exactly, and reading a batch is one copy from the mapped files.
"""

import mmap
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np

from alexnet_pl.errors import UserError

NAME, SUFFIX = "raw", "u8"
TWO_THREADS_FROM = 4 << 20  # bytes that are worth a second thread


class RawWriter:
    """One shard. An image that could not be read leaves its record black, so that all others keep their place."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.black = file, bytes(3 * size**2)

    def add(self, number: int, label: int, image: np.ndarray | None) -> int:
        """Write image `number` of the split, (3, size, size) uint8 with dense planes, or None; the bytes it takes."""
        return self.file.write(self.black if image is None else image.data)

    def finish(self) -> None:
        pass


class RawReader:
    """The records of a split, mapped into memory, read-only. Raises UserError for a shard of a wrong size."""

    channels_last = False

    def __init__(self, paths: Iterable[Path], counts: Iterable[int], size: int) -> None:
        self.shards: list[np.ndarray] = []
        self.maps: list[mmap.mmap] = []
        for path, count in zip(paths, counts, strict=True):
            shape = (count, 3, size, size)
            if (bytes_found := file_size(path)) != np.prod(shape, dtype=np.int64):
                raise UserError(f"{path}: {bytes_found:,} bytes, not those of {count:,} images; prepare it again")
            with path.open("rb") as file:
                self.maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            self.shards.append(np.frombuffer(self.maps[-1], np.uint8).reshape(shape))
        self.per_shard, self.record = len(self.shards[0]), 3 * size**2

    def read(self, slots: np.ndarray, out: np.ndarray) -> None:
        if out.nbytes < TWO_THREADS_FROM:
            return self.copy(slots, out)
        half = len(slots) // 2  # one core alone does not fill the way to the memory
        rest = self.helper.submit(self.copy, slots[half:], out[half:])
        self.copy(slots[:half], out[:half])
        rest.result()

    def copy(self, slots: np.ndarray, out: np.ndarray) -> None:
        if len(self.shards) == 1:
            np.take(self.shards[0], slots, axis=0, out=out, mode="clip")  # "raise" would buffer `out`
            return
        for row, (shard, record) in enumerate(zip(*np.divmod(slots, self.per_shard), strict=True)):
            out[row] = self.shards[shard][record]

    @cached_property
    def helper(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "reader")

    def prefetch(self, slots: np.ndarray) -> None:
        """These will be read soon."""
        for shard, record in zip(*np.divmod(slots, self.per_shard), strict=True):
            advise_willneed(self.maps[shard], int(record) * self.record, self.record)


def file_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def advise_willneed(mapped: mmap.mmap, begin: int, size: int) -> None:
    """Ask for a range of a mapped file, without waiting for it."""
    start = begin - begin % mmap.PAGESIZE
    mapped.madvise(mmap.MADV_WILLNEED, start, begin + size - start)
