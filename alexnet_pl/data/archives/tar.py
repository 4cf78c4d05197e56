"""Random access into tar archives: byte ranges of members, also of archives within archives."""

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from alexnet_pl.data.archives.gzip import check_and_share_index, explain, open_packed
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.errors import UserError

WNID = re.compile(r"n\d{8}")
GZIPPED = (".tar.gz", ".tgz")


def is_litter(name: str) -> bool:
    """Whether a desktop left the file there (`.DS_Store`, `._image.JPEG`, `Thumbs.db`), not the organisers."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


class Member(NamedTuple):
    """A regular file of an archive; `name` is its last part alone, so that no path of an archive is ever followed.

    `path` is all of it as the archive says, only ever compared.
    """

    name: str
    place: ByteLocation
    path: str = ""


class Part:
    """The bytes `start` … `start + size` of a file, as a file: what lies in an archive without copying it out."""

    def __init__(self, file: IO[bytes], start: int, size: int | None) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def tell(self) -> int:
        return self.at

    def seek(self, to: int, whence: int = 0) -> int:
        assert whence == 0  # all that tarfile asks for
        self.at = to
        return self.at

    def read(self, count: int = -1) -> bytes:
        if self.size is not None:
            left = max(0, self.size - self.at)
            count = left if count < 0 else min(count, left)
        self.file.seek(self.start + self.at)
        data = self.file.read(count)
        self.at += len(data)
        return data


def members(place: ByteLocation) -> Iterator[Member]:
    """The regular files of a tar, in its order. Links, devices and folders are passed over.

    Raises UserError, naming the file, where the archive is damaged or cut off.
    """
    size = place.path.stat().st_size if place.size is None and not place.packed else place.size
    try:
        with (
            open_packed(place.path, place.packed) as file,
            tarfile.open(fileobj=Part(file, place.start, size), mode="r:") as tar,  # type: ignore[arg-type]
        ):
            for found in tar:
                if size is not None and found.offset_data + found.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                if found.isreg() and not is_litter(Path(found.name).name):
                    inside = ByteLocation(place.path, place.start + found.offset_data, found.size, place.packed)
                    yield Member(Path(found.name).name, inside, found.name)
                tar.members.clear()  # tarfile would keep them all
            check_end(tar.fileobj, tar.offset)  # type: ignore[arg-type]
        if place.packed and place.size is None:
            check_and_share_index(place.path)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"prepare.source: {place.path}: damaged or incomplete archive ({explain(error)}); get it again"
        ) from error


def check_end(file: IO[bytes], at: int) -> None:
    """tarfile takes a damaged header for the end; the end is zeros, a block of them at least, and nothing else."""
    file.seek(at)
    zeros = 0
    while some := file.read(1 << 16):
        if some.strip(b"\0"):
            raise tarfile.ReadError(f"a damaged header at byte {at:,}")
        zeros += len(some)
    if zeros < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("unexpected end of data")


def is_complete(path: Path) -> ByteLocation:
    """All of an archive, by its name compressed or not."""
    return ByteLocation(path, packed="gzip" if path.name.endswith(GZIPPED) else "")


def by_class(path: Path) -> Iterator[tuple[str, ByteLocation]]:
    """(wnid, archive of its images): an archive n########.tar itself, or those in an archive of such."""
    if found := WNID.match(path.name):
        yield found[0], is_complete(path)
        return
    for inner in members(is_complete(path)):
        if (found := WNID.match(inner.name)) and inner.name.endswith(".tar"):
            yield found[0], inner.place


def first(path: Path) -> str:
    """The name of the first regular file of an archive: enough to tell what it is."""
    return next((member.name for member in members(is_complete(path))), "")
