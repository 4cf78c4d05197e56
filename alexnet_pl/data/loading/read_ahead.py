"""Reading ahead: a thread reads the next batches while the device computes, and the kernel prefetches later ones."""

import resource
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

import numpy as np

from alexnet_pl.data.store.split import Split

Batch = TypeVar("Batch")
PREFETCHED = 4  # batches that are prefetched before they are read
BATCHES_AFTER_FAULT = 64  # batches that are prefetched after a read that waited for the disk


def read_ahead(batches: Iterator[Batch], ahead: int = 1, wait: bool = False) -> Generator[Batch, None, None]:
    """Yield the same batches; a thread iterates over them, and has read `ahead` more than were requested.

    When the loop ends early, no further batch is read. `wait`: then wait for the one that is being read. Without it
    nothing waits for this thread, not even the end of the program, since a slow file system may take minutes; a batch
    that is read in a ThreadPoolExecutor is still finished by it.
    """
    requests, ended = Semaphore(ahead), Event()
    results: SimpleQueue[Batch | BaseException | None] = SimpleQueue()
    thread = Thread(target=read_requested, args=(batches, requests, results, ended), daemon=True, name="loader")
    thread.start()
    try:
        while True:
            requests.release()
            if (batch := results.get()) is None:
                return
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        ended.set()
        requests.release()
        if wait:
            thread.join()


def read_requested(
    batches: Iterator[Batch],
    requests: Semaphore,
    results: SimpleQueue[Batch | BaseException | None],
    ended: Event,
) -> None:
    """Read a batch per request until the loop has ended. Results are None after the last batch; an error is the last
    result."""
    try:
        while requests.acquire() and not ended.is_set():
            results.put(next(batches, None))
    except BaseException as error:
        results.put(error)


def with_prefetch(split: Split, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the same batches in the same order, and prefetch those that follow.

    Prefetching costs some microseconds per image even if the file is in memory, so it stops while no read waits for the
    disk.
    """
    waiting: deque[np.ndarray] = deque()
    remaining, faults = BATCHES_AFTER_FAULT, count_major_faults()
    for indices in batches:
        waiting.append(indices)
        if remaining:
            split.prefetch(indices)
        if len(waiting) > PREFETCHED:
            yield waiting.popleft()
            remaining, faults, before = max(0, remaining - 1), count_major_faults(), faults
            if faults > before:
                remaining = BATCHES_AFTER_FAULT
    yield from waiting


def count_major_faults() -> int:
    """Number of page faults of this process that waited for a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt
