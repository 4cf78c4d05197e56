"""Random access into tar archives: byte ranges of members, also of archives within archives."""

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from alexnet_pl.data.archives.gzip import open_content, share_index
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.errors import UserError

WNID = re.compile(r"n\d{8}")
GZIP_SUFFIXES = (".tar.gz", ".tgz")


def is_desktop_file(name: str) -> bool:
    """Whether a desktop left the file there (`.DS_Store`, `._image.JPEG`, `Thumbs.db`), not the organisers."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


class Member(NamedTuple):
    """A regular file of an archive; `name` is its last part alone, so that no path of an archive is ever followed.

    `path` is all of it as the archive says, only ever compared.
    """

    name: str
    location: ByteLocation
    path: str = ""


class FileRange:
    """The bytes `start` … `start + size` of a file, as a file: what lies in an archive without copying it out."""

    def __init__(self, file: IO[bytes], start: int, size: int | None) -> None:
        self.file, self.start, self.size, self.position = file, start, size, 0

    def tell(self) -> int:
        return self.position

    def seek(self, position: int, whence: int = 0) -> int:
        assert whence == 0  # all that tarfile asks for
        self.position = position
        return self.position

    def read(self, count: int = -1) -> bytes:
        if self.size is not None:
            remaining = max(0, self.size - self.position)
            count = remaining if count < 0 else min(count, remaining)
        self.file.seek(self.start + self.position)
        data = self.file.read(count)
        self.position += len(data)
        return data


def list_members(location: ByteLocation) -> Iterator[Member]:
    """The regular files of a tar, in its order. Links, devices and folders are passed over.

    Raises UserError, naming the file, where the archive is damaged or cut off.
    """
    size = location.path.stat().st_size if location.size is None and not location.compression else location.size
    try:
        with (
            open_content(location.path, location.compression) as file,
            tarfile.open(fileobj=FileRange(file, location.start, size), mode="r:") as tar,  # type: ignore[arg-type]
        ):
            for info in tar:
                if size is not None and info.offset_data + info.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                if info.isreg() and not is_desktop_file(Path(info.name).name):
                    member_location = ByteLocation(
                        location.path, location.start + info.offset_data, info.size, location.compression
                    )
                    yield Member(Path(info.name).name, member_location, info.name)
                tar.members.clear()  # tarfile would keep them all
            check_end(tar.fileobj, tar.offset)  # type: ignore[arg-type]
        if location.compression and location.size is None:
            share_index(location.path)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"prepare.source: {location.path}: damaged or incomplete archive ({error}); get it again"
        ) from error


def check_end(file: IO[bytes], position: int) -> None:
    """tarfile takes a damaged header for the end; the end is zeros, a block of them at least, and nothing else."""
    file.seek(position)
    zeros = 0
    while block := file.read(1 << 16):
        if block.strip(b"\0"):
            raise tarfile.ReadError(f"a damaged header at byte {position:,}")
        zeros += len(block)
    if zeros < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("unexpected end of data")


def whole_archive(path: Path) -> ByteLocation:
    """All of an archive, by its name compressed or not."""
    return ByteLocation(path, compression="gzip" if path.name.endswith(GZIP_SUFFIXES) else "")


def list_class_archives(path: Path) -> Iterator[tuple[str, ByteLocation]]:
    """(wnid, archive of its images): an archive n########.tar itself, or those in an archive of such."""
    if match := WNID.match(path.name):
        yield match[0], whole_archive(path)
        return
    for inner in list_members(whole_archive(path)):
        if (match := WNID.match(inner.name)) and inner.name.endswith(".tar"):
            yield match[0], inner.location


def first_member_name(path: Path) -> str:
    """The name of the first regular file of an archive: enough to tell what it is."""
    return next((member.name for member in list_members(whole_archive(path))), "")
