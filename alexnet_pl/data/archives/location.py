"""Location of one image's bytes: a file, or a range within an archive."""

from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives.gzip import open_content, read_range
from alexnet_pl.data.archives.parquet import read_row
from alexnet_pl.data.archives.zip import read_member


class ByteLocation(NamedTuple):
    """Location of an image's bytes: a file, or `size` bytes from `start` in an archive's content.

    `packed` says how that content is compressed: "" not at all, "gzip" as a whole, "zip" for a file of such an archive,
    whose own header is at `start`, or "parquet" for row `start` of a table. "planes" is no compression: the bytes are a
    square image's pixels, red, green and blue one after the other.
    """

    path: Path
    start: int = 0
    size: int | None = None
    compression: str = ""

    def read(self) -> bytes:
        """Raises OSError where the file is gone, or shorter than it was when it was listed; ValueError where a checksum
        beside the image is another."""
        if self.compression == "parquet":
            return read_row(self.path, self.start)
        if self.compression == "zip":
            data = read_member(self.path, self.start, self.size or 0)
        elif self.compression:
            with open_content(self.path, self.compression) as file:
                file.seek(self.start)
                data = file.read(-1 if self.size is None else self.size)
        else:
            data = read_range(self.path, self.start, self.size)
        if self.size is not None and len(data) < self.size:
            raise OSError(f"{self.path}: shorter than it was when it was listed")
        return data
