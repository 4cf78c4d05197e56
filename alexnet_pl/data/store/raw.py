"""`raw` encoding of a store: uncompressed RGB planes, records of 3 · size · size bytes without gaps.

A record of 256 × 256 pixels is exactly 48 memory pages. Reading a batch is one copy from memory-mapped files.
"""

import mmap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from alexnet_pl.data.store.file_limit import allow_open_files
from alexnet_pl.data.store.threads import shared_threads
from alexnet_pl.errors import UserError

NAME, SUFFIX = "raw", "u8"
REPAIR = (
    "`verify` lists all corrupt files, or downloads them again if the store is remote; `prepare prepare.repair=true` "
    "repairs those of a local store"
)
TWO_THREADS_FROM = 4 << 20  # bytes of a batch


class RawWriter:
    """Writer of one shard. Unreadable images become black records, so that positions stay regular."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.black = file, bytes(3 * size**2)

    def add(self, number: int, label: int, image: np.ndarray | None) -> int:
        """Write an image, (3, size, size) uint8 with contiguous planes, or None; return the bytes written."""
        return self.file.write(self.black if image is None else image.data)

    def finish(self) -> None:
        pass


class RawReader:
    """Reader of a split: memory-mapped shards. Raises UserError if a shard has the wrong size or there are too many."""

    channels_last = False

    def __init__(self, paths: Sequence[Path], counts: Iterable[int], size: int) -> None:
        self.shards: list[np.ndarray] = []
        self.maps: list[mmap.mmap] = []
        allow_open_files(paths[0], len(paths))
        for path, count in zip(paths, counts, strict=True):
            shape = (count, 3, size, size)
            check_size(path, int(np.prod(shape, dtype=np.int64)))
            with path.open("rb") as file:
                self.maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            self.shards.append(np.frombuffer(self.maps[-1], np.uint8).reshape(shape))
        self.per_shard, self.record = len(self.shards[0]), 3 * size**2

    def read(self, slots: np.ndarray, out: np.ndarray) -> None:
        if out.nbytes < TWO_THREADS_FROM:
            return self.copy(slots, out)
        half = len(slots) // 2  # one core does not saturate the memory bandwidth
        rest = shared_threads(1, "reader").submit(self.copy, slots[half:], out[half:])
        self.copy(slots[:half], out[:half])
        rest.result()

    def copy(self, slots: np.ndarray, out: np.ndarray) -> None:
        if len(self.shards) == 1:
            np.take(self.shards[0], slots, axis=0, out=out, mode="clip")  # "raise" would buffer `out`
            return
        for row, (shard, record) in enumerate(zip(*np.divmod(slots, self.per_shard), strict=True)):
            out[row] = self.shards[shard][record]

    def prefetch(self, slots: np.ndarray) -> None:
        """Ask the kernel to read the records `slots` ahead."""
        for shard, record in zip(*np.divmod(slots, self.per_shard), strict=True):
            advise_willneed(self.maps[shard], int(record) * self.record, self.record)


def check_size(path: Path, expected: int, advice: str = REPAIR) -> None:
    """Raise UserError for a shard that is missing or has other than `expected` bytes."""
    if not path.is_file():
        raise UserError(f"{path}: missing; {advice}")
    if (size := path.stat().st_size) != expected:
        raise UserError(f"{path}: {size:,} bytes, not {expected:,}; {advice}")


def advise_willneed(mapped: mmap.mmap, begin: int, size: int) -> None:
    """Read a range of a mapped file ahead (`madvise(WILLNEED)`), without waiting."""
    start = begin - begin % mmap.PAGESIZE
    mapped.madvise(mmap.MADV_WILLNEED, start, begin + size - start)
