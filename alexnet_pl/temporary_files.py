"""Temporary files, which replace a file atomically, so that readers find its old content or the new one.

A killed process leaves its file, which the next write of the same path deletes. The file's name has the number of the
process that writes it. A lock could not show that the file is in use: some writers need a path that does not exist
(links), SMB refuses writes to a locked file that was opened again, and a network file system may keep locks within each
machine.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alexnet_pl.locks import is_running, machine

LONGEST_PAUSE = 3600  # seconds between two writes of a checkpoint, and between the clocks of two machines


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces `path` atomically at the end, unless an error is raised."""
    temporary = temporary_path(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Path of a temporary file beside `path` that no other process uses. Deletes those that killed processes left."""
    remove_stale(path.parent, f"{path.name}.")
    return path.with_name(f"{path.name}.{machine()}-{os.getpid()}.tmp")


def remove_stale(folder: Path, prefix: str = "", pause: float = LONGEST_PAUSE) -> None:
    """Delete temporary files whose names begin with `prefix` and that no process writes any more. `pause`: seconds; see
    `is_stale`."""
    for path in folder.glob("*.tmp"):
        with suppress(OSError):  # another process may do the same
            if path.name.startswith(prefix) and is_stale(path, pause):
                path.unlink()


def is_stale(temporary: Path, pause: float) -> bool:
    """Whether the process that wrote a temporary file has ended. A process of another machine or container, or of this
    one before a restart, counts as ended if nothing was written to the file for `pause` seconds."""
    name, _, number = temporary.stem.rpartition("-")
    if number.isdigit() and name.endswith(f".{machine()}"):
        return int(number) == os.getpid() or not is_running(int(number))
    return time.time() - temporary.lstat().st_mtime > pause
