"""Location of an image's bytes: a file, or a range within an archive."""

from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives.gzip import read_gzip, read_range
from alexnet_pl.data.archives.parquet import read_row
from alexnet_pl.data.archives.remote import client_errors
from alexnet_pl.data.archives.zip import CorruptZipError, ZipMember, read_member

LARGEST_FILE = 2**30  # maximum bytes per image; a raw photograph of 89 million pixels has 270 million


class ByteLocation(NamedTuple):
    """Location of an image's bytes: a file, or `size` bytes from `start` in an archive's content.

    `compression` is one of
      ""         none
      "gzip"     the archive as a whole; `start` counts in its uncompressed content
      "zip"      a member of a zip archive, whose local header is at `start`
      "parquet"  row `start` of a table

    `checksum`: CRC-32 of a member of a zip archive. `is_planes`: the bytes are not an image file but the red, green and
    blue planes of a square image.
    """

    path: Path
    start: int = 0
    size: int | None = None
    compression: str = ""
    is_planes: bool = False
    checksum: int = 0

    def read(self) -> bytes:
        """Read the bytes. Raises OSError if the file is gone or shorter than when it was listed, ValueError if the
        archive's checksum differs."""
        if self.size is not None and self.size > LARGEST_FILE:
            raise ValueError(f"{self.size:,} bytes, more than any photograph: a decompression bomb?")
        with client_errors(self.path, CorruptZipError):
            data = self.read_archive()
        if self.size is not None and len(data) < self.size:
            raise OSError(f"{self.path}: shorter than when it was listed")
        return data

    def read_archive(self) -> bytes:
        if self.compression == "parquet":
            return read_row(self.path, self.start)
        if self.compression == "zip":
            return read_member(self.path, self.start, self.size or 0, self.checksum)
        if not self.compression:
            return read_range(self.path, self.start, self.size)
        return bytes(read_gzip(self.path, self.start, self.size))


class LoadedLocation(ByteLocation):
    """Location whose bytes are in memory, as `data`; after `_replace` they are read again."""

    data: bytes | None = None

    def read_archive(self) -> bytes:
        return super().read_archive() if self.data is None else self.data


def zip_location(path: Path, member: ZipMember) -> ByteLocation:
    return ByteLocation(path, member.start, member.size, "zip", checksum=member.checksum)
