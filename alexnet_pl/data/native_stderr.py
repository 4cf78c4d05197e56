"""Capture of what a C library writes to stderr: libtiff reports a corrupt file there, without naming it."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
LOCK = threading.Lock()  # the descriptor is shared by the whole process


@contextmanager
def catch_stderr() -> Iterator[list[str]]:
    """Capture what is written to file descriptor 2 within the context; its lines are in the yielded list at the end."""
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
