"""Open files cached per thread, each at the position of its last read."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

MAX_OPEN = 2  # open files per thread, besides those that a listing reads
THREAD_STATE = threading.local()
Version = tuple[int, int, int, int]  # device, inode, size, modification time


class Closable(Protocol):
    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=Closable)


@dataclass
class CachedFile:
    """`version`: of the file at the path, before it was opened; None for a remote file. `users`: contexts it is used
    in."""

    file: Any
    version: Version | None
    users: int = 0


@contextmanager
def kept_open(path: Path, open_file: Callable[[Path], Opened]) -> Iterator[Opened]:
    """The file at `path`; calls `open_file` unless this thread already has it open.

    It stays open after the context, unless that fails: a descriptor that NFS calls stale would fail ever after.
    """
    files = files_of_thread()
    if path not in files:
        version = version_of(path)
        files[path] = CachedFile(open_file(path), version)
    cached = files[path]
    cached.users += 1
    close_oldest(files)
    try:
        yield cached.file
    except Exception:
        if files.get(path) is cached:
            del files[path]
        raise
    finally:
        cached.users -= 1
        if files.get(path) is not cached:
            close_unused(cached)


def files_of_thread() -> OrderedDict[Path, CachedFile]:
    return THREAD_STATE.__dict__.setdefault("files", OrderedDict())


def version_of(path: Path) -> Version | None:
    if "://" in str(path):
        return None
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def close_oldest(files: OrderedDict[Path, CachedFile]) -> None:
    unused = [path for path, cached in files.items() if not cached.users]
    for path in unused[: max(0, len(files) - MAX_OPEN)]:
        close_unused(files.pop(path))


def close_unused(cached: CachedFile) -> None:
    if not cached.users:
        cached.file.close()


def close_replaced(path: Path) -> None:
    """Close the file at `path` if another one has taken its place since it was opened."""
    files = files_of_thread()
    if path in files and files[path].version != version_of(path):
        close_unused(files.pop(path))


def close_files() -> None:
    """Close the files of this thread, such as those of a finished listing and their buffers. One that is in use is
    closed at the end of its use."""
    files = files_of_thread()
    while files:
        close_unused(files.popitem()[1])
