"""Locks between processes, since two that write the same files would mix their content.

A lock is released when its process ends for any reason. File systems without locks are not protected.
"""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from alexnet_pl.console import is_first_process, progress
from alexnet_pl.errors import UserError


def is_running(pid: int) -> bool:
    """Whether a process of this machine has this ID."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def machine() -> str:
    """Name of this machine and number of its process namespace, since containers may share the name."""
    with suppress(OSError):
        return f"{socket.gethostname()}.{re.sub(r'[^0-9]', '', os.readlink('/proc/self/ns/pid'))}"
    return socket.gethostname()


def lock(file: IO[str], kind: int) -> None:
    """Wait for a lock on `file`, which must be open for reading and writing: NFS requires it."""
    with suppress(OSError):
        fcntl.flock(file, kind)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, which stays; wait for it if needed."""
    with os.fdopen(open_no_link(path), "r+", encoding="utf-8") as file:
        lock(file, fcntl.LOCK_EX)
        yield


def lock_path(run: Path, command: str) -> Path:
    return run / f".{command}.lock"


@contextmanager
def run_lock(run: Path, command: str) -> Iterator[None]:
    """Hold the lock of `command` in this run folder. Raises UserError if another process holds it.

    There is one lock per command, so that a network can be tested while it is trained. The processes of a distributed
    fit count as one: only the first holds the lock.
    """
    if not is_first_process():
        yield
        return
    path = lock_path(run, command)
    descriptor = open_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if descriptor is None:
        raise UserError(
            f"{run}: another process runs `{command}` in this run folder; wait for its end, or choose another "
            f"hydra.run.dir. If its machine has crashed, a file server may keep the lock: remove {path.name} there"
        )
    try:
        yield
    finally:
        release(path, descriptor)


@contextmanager
def lock_when_free(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file at `path`, after waiting for the process that holds it, and remove it at the end. `work`: what
    that process does."""
    if (descriptor := open_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
        progress(f"waiting for another process, which {work}")
        descriptor = open_lock(path, fcntl.LOCK_EX)
    assert descriptor is not None
    try:
        yield
    finally:
        release(path, descriptor)


def release(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def open_lock(path: Path, kind: int) -> int | None:
    """Open and lock the file at `path`; returns its descriptor; with LOCK_NB, None if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = open_no_link(path)
        try:
            fcntl.flock(descriptor, kind)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # a file system without locks
            return descriptor
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # the previous holder has just ended and removed this file


def open_no_link(path: Path) -> int:
    """Open a lock file, created if missing; returns its descriptor. Raises UserError for a link, which could lead to
    any file."""
    if path.is_symlink():
        raise UserError(f"{path}: a link, where a lock should be; remove it")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
