"""Names of a split's images, in a file of one JSON string per record."""

import json
from pathlib import Path

import numpy as np

from alexnet_pl.data.archives.file_map import map_file

NEWLINE = ord("\n")


class NameFile:
    """Names, read as they are used. Eight bytes of memory per name; the file itself is shared by all processes.

    Raises OSError if there is no file, ValueError or IndexError for a name if it is corrupt.
    """

    def __init__(self, path: Path) -> None:
        self.lines = map_file(path)
        ends = np.flatnonzero(np.frombuffer(self.lines, np.uint8) == NEWLINE)
        self.starts = np.concatenate([[0], ends + 1])

    def __getitem__(self, record: int) -> str:
        return json.loads(self.lines[self.starts[record] : self.starts[record + 1]].decode())
