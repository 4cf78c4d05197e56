"""Lock of a run folder, since two processes writing the same files would mix their content.

There is one lock per command, so that a network can be tested while it is trained. The lock is released when its
process ends for any reason. File systems without locks are not protected.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet_pl.console import is_first_process, progress
from alexnet_pl.errors import UserError

SECONDS_BETWEEN_TRIES = 1.0


@contextmanager
def run_lock(run: Path, command: str) -> Iterator[None]:
    """Hold the lock of `command` in this run folder. Raises UserError if another process holds it.

    The processes of a distributed fit count as one: only the first holds the lock.
    """
    if not is_first_process():
        yield
        return
    path = run / f".{command}.lock"
    descriptor = try_lock(path)
    if descriptor is None:
        raise UserError(
            f"{run}: another process runs `{command}` in this run folder; wait for its end, or choose another "
            "hydra.run.dir"
        )
    try:
        yield
    finally:
        release(path, descriptor)


@contextmanager
def lock_when_free(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file at `path`, after waiting for the process that holds it. `work`: what that process does."""
    if (descriptor := try_lock(path)) is None:
        progress(f"waiting for another process, which {work}")
        while (descriptor := try_lock(path)) is None:
            time.sleep(SECONDS_BETWEEN_TRIES)
    try:
        yield
    finally:
        release(path, descriptor)


def release(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """Open and lock the file at `path`; returns its descriptor, or None if another process holds the lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        if path.is_symlink():
            raise UserError(f"{path}: a link, where a lock should be; remove it")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # a file system without locks
            return descriptor
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # the previous holder has just ended and removed this file
