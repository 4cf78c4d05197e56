"""Lock of a run folder: two processes that write the same files of a run would mix their content.

A lock is of one command, so that a network can be tested while it is trained. It ends with its process, however that
ends; where the file system has no locks, there is none.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet_pl.console import is_first_process
from alexnet_pl.errors import UserError


@contextmanager
def run_lock(run: Path, command: str) -> Iterator[None]:
    """Raise UserError if another process runs `command` in this run folder.

    The processes of one distributed fit count as one: the first of them holds the lock.
    """
    if not is_first_process():
        yield
        return
    path = run / f".{command}.lock"
    descriptor = acquire(path, command)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def acquire(path: Path, command: str) -> int:
    """An open, locked file that is still the one at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        if path.is_symlink():
            raise UserError(f"{path}: a link, where a lock should be; remove it")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UserError(
                f"{path.parent}: another process runs `{command}` in this run folder; wait for its end, or choose "
                "another hydra.run.dir"
            ) from None
        except OSError:  # a file system without locks
            return descriptor
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # the one that held it has just ended and removed it
