"""Lists that do not fit in memory."""

import json
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from alexnet_pl.errors import UserError

BLOCK = 1 << 20  # bytes that an iterator reads at a time


class DiskList:
    """List of JSON rows in a temporary file, for listings of archives that do not fit in memory.

    Raises UserError, naming the temporary folder, if it is full.
    """

    def __init__(self, rows: Iterable[Any]) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by the finalizer)
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
            advice = "free some space there, or set TMPDIR to a folder with more"
            raise UserError(f"{tempfile.gettempdir()}: {error.strerror}; {advice}") from error

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows. Each iterator has a position of its own in the file."""
        position = 0
        while True:
            self.file.seek(position)
            if not (lines := self.file.readlines(BLOCK)):
                return
            position = self.file.tell()
            yield from map(json.loads, lines)
