"""What later batches will read, asked of the disk while earlier ones are still computed on.

An epoch's order is known from its start, so the kernel can be told. Left to itself, a mapped file is read a few pages
at a time, each of them waited for: a fifth of the disk's rate.
"""

import resource
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from alexnet_pl.data.store import Split

DISTANCE = 4  # batches between asking and reading
HELD = 64  # batches for which it goes on after a read that had to wait


def looked_ahead(split: Split, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same batches in the same order; those that follow are announced to the kernel.

    Announcing costs some microseconds an image, also where the file is in memory already; it is left out as long as
    no read has had to wait for a disk.
    """
    waiting: deque[np.ndarray] = deque()
    cold, faults = HELD, disk_reads()
    for indices in batches:
        waiting.append(indices)
        if cold:
            split.expect(indices)
        if len(waiting) > DISTANCE:
            yield waiting.popleft()
            cold, faults, before = max(0, cold - 1), disk_reads(), faults
            if faults > before:
                cold = HELD
    yield from waiting


def disk_reads() -> int:
    """Page faults of this process that waited for a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt
