"""Catch lines that a C library writes to stderr: libtiff reports a damaged file there, without the name of the file."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
LOCK = threading.Lock()  # the descriptor is the whole process's


@contextmanager
def catch_stderr() -> Iterator[list[str]]:
    """Keep what is written to file descriptor 2 meanwhile from the terminal; its lines are in the list at the end."""
    lines: list[str] = []
    with LOCK, tempfile.TemporaryFile() as file:
        kept = os.dup(STDERR)
        os.dup2(file.fileno(), STDERR)
        try:
            yield lines
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()
