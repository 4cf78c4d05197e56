"""Worker pool of `prepare`: processes that each make one shard at a time.

Processes, not threads: decoding releases the GIL, but re-acquiring it dozens of times per image costs 25 % of the
throughput. Few images are processed in the main process, since starting another takes two seconds.
"""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple

import torch
from PIL import Image

from alexnet_pl.console import silence_image_warnings
from alexnet_pl.data.archives.gzip import INDICES
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.plan import Shard, read_records
from alexnet_pl.data.prepare.shard import ImageReader, make_shard
from alexnet_pl.data.store.encoding import shard_name
from alexnet_pl.errors import UserError
from alexnet_pl.runtime.allocator import keep_freed_memory

# forks a single-threaded process that has imported everything; macOS's libraries do not survive a fork
MULTIPROCESSING = get_context("spawn" if sys.platform == "darwin" else "forkserver")
THREAD_STATE = threading.local()


class Cancelled(Exception):
    """Raised in a worker after another worker failed or the user interrupted the command."""


class WorkerContext(NamedTuple):
    """State that each worker gets once. `images_done`: shared counter; `stop`: event that ends all workers."""

    listing: Path
    partial: Path
    settings: StoreSettings
    read: ImageReader
    indices: dict[Path, tuple[tuple[int, int | str], bytes]]
    images_done: Any
    stop: Any


class WorkerPool:
    """Pool of `count` worker processes; an error in one stops all. A single worker is a thread of this process."""

    def __init__(self, count: int, listing: Path, partial: Path, settings: StoreSettings, read: ImageReader) -> None:
        MULTIPROCESSING.set_forkserver_preload([__name__])
        self.images_done, self.stop = shared_state(count)
        context = WorkerContext(listing, partial, settings, read, INDICES, self.images_done, self.stop)
        self.pool: Executor = (
            ThreadPoolExecutor(1, initializer=set_context, initargs=(context,))
            if count == 1
            else ProcessPoolExecutor(count, MULTIPROCESSING, start_worker, (context,))
        )

    def make(self, shards: list[Shard], on_progress: Callable[[int], None]) -> None:
        """Process all shards; `on_progress` gets the number of images done. Raises the first error of a worker."""
        try:
            futures = self.submit(shards)
            self.wait_for(futures, lambda: on_progress(self.images_done.value))
        finally:
            self.stop.set()
            self.pool.shutdown(cancel_futures=True)

    def submit(self, shards: list[Shard]) -> list[Future[None]]:
        try:
            return [self.pool.submit(process_shard, shard) for shard in shards]
        except OSError as error:  # as worker processes start
            if "AF_UNIX" not in str(error):
                raise
            raise UserError(
                f"TMPDIR: {gettempdir()} is too long for the socket of worker processes; set a shorter TMPDIR, or "
                f"prepare.workers=1"
            ) from error

    def wait_for(self, futures: list[Future[None]], on_progress: Callable[[], None]) -> None:
        """Wait until all are done or one fails; raises the error of that one."""
        ended, unfinished = threading.Event(), threading.Semaphore(len(futures) - 1)

        def count_down(done: Future[None]) -> None:
            failed = not done.cancelled() and done.exception()
            if failed:
                self.stop.set()
            if not unfinished.acquire(blocking=False) or failed:  # the last one
                ended.set()

        for future in futures:
            future.add_done_callback(count_down)
        while not ended.wait(0.2):  # `concurrent.futures.wait` would look at each of 14,000 shards, five times a second
            on_progress()
        on_progress()
        errors = [error for future in futures if future.done() and (error := future.exception())]
        for error in sorted(errors, key=lambda error: isinstance(error, Cancelled)):
            raise error


def shared_state(count: int) -> tuple[Any, Any]:
    """Counter of images and event that ends the workers. Those of a single worker, a thread, need no shared memory."""
    if count == 1:
        return Counter(), threading.Event()
    try:
        return MULTIPROCESSING.Value("q"), MULTIPROCESSING.Event()
    except OSError as error:  # semaphores are files there
        raise UserError(
            f"prepare.workers: no semaphores ({error.strerror}): /dev/shm is missing or not writable; mount it (in "
            "Docker without --ipc none), or set prepare.workers=1"
        ) from error


class Counter:
    """Counter of a single process, with the interface of `multiprocessing.Value`."""

    def __init__(self) -> None:
        self.value = 0

    def get_lock(self) -> AbstractContextManager[None]:
        return nullcontext()


def start_worker(context: WorkerContext) -> None:
    """Set up a worker process: it ignores Ctrl-C, which its parent handles, and ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    configure_worker()
    INDICES.update(context.indices)
    set_context(context)


def end_with_parent() -> None:
    """Exit when the parent is gone; otherwise the worker would wait for its next shard forever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def configure_worker() -> None:
    """Use one thread and keep freed memory in this worker process."""
    torch.set_num_threads(1)
    keep_freed_memory()
    silence_image_warnings()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # reported per image in odd.json


def set_context(context: WorkerContext) -> None:
    THREAD_STATE.context = context


def process_shard(shard: Shard) -> None:
    context: WorkerContext = THREAD_STATE.context

    def report() -> None:
        with context.images_done.get_lock():
            context.images_done.value += 1
        if context.stop.is_set():
            raise Cancelled

    if context.stop.is_set():
        raise Cancelled
    encoding = context.settings.encoding
    path = context.partial / shard_name(shard.split, shard.number, encoding)
    records, is_training = read_records(context.listing, shard), shard.split == "train"
    make_shard(path, records, shard.start, context.settings.size, encoding, context.read, is_training, report)
