"""Lists that do not fit in memory."""

import json
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import Any


class DiskList:
    """List of JSON rows in a temporary file, for listings of archives that do not fit in memory."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.file = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by the finalizer)
        weakref.finalize(self, self.file.close)
        for row in rows:
            self.file.write(json.dumps(row, default=str) + "\n")

    def __iter__(self) -> Iterator[Any]:
        self.file.seek(0)
        yield from map(json.loads, self.file)
