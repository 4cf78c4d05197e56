"""Location of one image's bytes: a file, or a range within an archive."""

from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives.gzip import open_packed, read_plain
from alexnet_pl.data.archives.parquet import read_row
from alexnet_pl.data.archives.zip import read_member

LARGEST_FILE = 2**30  # bytes of an image; a raw photograph of 89 million pixels has 270 million


class ByteLocation(NamedTuple):
    """Location of an image's bytes: a file, or `size` bytes from `start` in an archive's content.

    `packed` says how that content is compressed: "" not at all, "gzip" as a whole, "zip" for a file of such an archive,
    whose own header is at `start`, or "parquet" for row `start` of a table. "planes" is no compression: the bytes are a
    square image's pixels, red, green and blue one after the other.
    """

    path: Path
    start: int = 0
    size: int | None = None
    packed: str = ""

    def read(self) -> bytes:
        """Raises OSError where the file is gone, or shorter than it was when it was listed; ValueError where a checksum
        beside the image is another."""
        if self.size is not None and self.size > LARGEST_FILE:
            raise ValueError(f"{self.size:,} bytes, more than any photograph: a decompression bomb?")
        if self.packed == "parquet":
            return read_row(self.path, self.start)
        if self.packed == "zip":
            data = read_member(self.path, self.start, self.size or 0)
        elif self.packed:
            with open_packed(self.path, self.packed) as file:
                file.seek(self.start)
                data = file.read(-1 if self.size is None else self.size)
        else:
            data = read_plain(self.path, self.start, self.size)
        if self.size is not None and len(data) < self.size:
            raise OSError(f"{self.path}: shorter than it was when it was listed")
        return data
