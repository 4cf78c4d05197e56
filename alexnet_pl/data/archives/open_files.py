"""Files that each thread keeps open, positioned where it last read."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO

MOST = 2  # files of a thread
THREAD_STATE = threading.local()


def keep_open(path: Path, open_file: Callable[[Path], IO[bytes]]) -> IO[bytes]:
    """The file at `path`, opened by `open_file` unless this thread has it open."""
    files: OrderedDict[Path, IO[bytes]] = THREAD_STATE.__dict__.setdefault("files", OrderedDict())
    if path not in files:
        files[path] = open_file(path)
        while len(files) > MOST:
            files.popitem(last=False)[1].close()
    return files[path]
