"""Lists that do not fit in memory."""

import json
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from alexnet_pl.errors import UserError, reason

BLOCK = 1 << 20  # bytes that an iterator reads at a time
LISTED = "images listed"  # what a counter shows while an archive is listed
FOLDER: ContextVar[Path | None] = ContextVar("folder of lists", default=None)


@contextmanager
def lists_beside(root: Path) -> Iterator[None]:
    """Write lists to the folder that will hold `root`, since TMPDIR is often in memory; if that is not possible, there.

    A list of 14 million images has 2 GB.
    """
    folder = next(parent for parent in root.absolute().parents if parent.is_dir())
    token = FOLDER.set(folder if os.access(folder, os.W_OK) else None)
    try:
        yield
    finally:
        FOLDER.reset(token)


def create_file(folder: Path | None) -> tuple[Path | None, IO[bytes]]:
    """Create a temporary file: (folder, file). The folder is None for that of TMPDIR, which is used if a file cannot be
    created in `folder`: a quota of files, for instance, shows only then."""
    if folder:
        with suppress(OSError):
            return folder, tempfile.TemporaryFile(dir=folder)
    try:
        return None, tempfile.TemporaryFile()
    except OSError as error:
        raise UserError(f"TMPDIR: cannot create a temporary file ({reason(error)}); set another folder") from error


class DiskList:
    """List of JSON rows in a temporary file, for listings of archives that do not fit in memory.

    Raises UserError, naming its folder, if that is full.
    """

    def __init__(self, rows: Iterable[Any]) -> None:
        self.folder, self.file = create_file(FOLDER.get())
        weakref.finalize(self, self.file.close)
        for row in rows:
            self.write(json.dumps(row, default=str).encode() + b"\n")
        self.write(b"", flush=True)

    def write(self, line: bytes, flush: bool = False) -> None:
        try:
            self.file.write(line)
            if flush:
                self.file.flush()
        except OSError as error:
            with suppress(OSError):  # closes the file, though it cannot write the rest
                self.file.close()
            more = "choose another data.root" if self.folder else "set TMPDIR to a folder with more"
            folder = self.folder or tempfile.gettempdir()
            raise UserError(f"{folder}: {error.strerror}; free some space there, or {more}") from error

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows. Each iterator has a position of its own in the file."""
        position = 0
        while True:
            self.file.seek(position)
            if not (lines := self.file.readlines(BLOCK)):
                return
            position = self.file.tell()
            yield from map(json.loads, lines)
