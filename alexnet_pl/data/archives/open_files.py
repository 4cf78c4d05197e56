"""Open files cached per thread, each at the position of its last read."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

MAX_OPEN = 2  # open files per thread
THREAD_STATE = threading.local()


class Closable(Protocol):
    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=Closable)


def keep_open(path: Path, open_file: Callable[[Path], Opened]) -> Opened:
    """Return the file at `path`; calls `open_file` unless this thread already has it open."""
    files: OrderedDict[Path, Any] = THREAD_STATE.__dict__.setdefault("files", OrderedDict())
    if path not in files:
        files[path] = open_file(path)
        while len(files) > MAX_OPEN:
            files.popitem(last=False)[1].close()
    return files[path]


def close_files() -> None:
    """Close the files of this thread, such as those of a finished listing and their buffers."""
    for file in THREAD_STATE.__dict__.pop("files", {}).values():
        file.close()
