"""Tar archives: byte ranges of their members, including those of nested archives."""

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from alexnet_pl.data.archives.gzip import check_and_share_index, explain, open_content
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.open_files import close_replaced
from alexnet_pl.data.archives.remote import client_errors, is_remote
from alexnet_pl.errors import UserError

WNID = re.compile(r"n\d{8}")
GZIP = b"\x1f\x8b"
GZIP_SUFFIXES = (".tar.gz", ".tgz")
TAR_SUFFIXES = (".tar", *GZIP_SUFFIXES)


def is_desktop_file(name: str) -> bool:
    """Whether a desktop environment wrote the file (`.DS_Store`, `._image.JPEG`, `Thumbs.db`)."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


class Member(NamedTuple):
    """Regular file in an archive.

    `name`: the last part of its path, so that no path in an archive is ever followed. `path`: the whole path, used only
    for comparison.
    """

    name: str
    location: ByteLocation
    path: str = ""


class Header(NamedTuple):
    """Entry of a tar archive. `location`: bytes of a regular file; `target`: path that a hard link refers to; both
    None: skipped."""

    path: str
    location: ByteLocation | None = None
    target: str = ""


class FileRange:
    """Bytes `start` … `start + size` of a file as a file object, without copying them."""

    def __init__(self, file: IO[bytes], start: int, size: int | None) -> None:
        self.file, self.start, self.size, self.position = file, start, size, 0

    def tell(self) -> int:
        return self.position

    def seek(self, position: int, whence: int = 0) -> int:
        assert whence == 0  # the only mode that tarfile uses
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
    """List the regular files of a tar archive and the hard links to them, in its order; symbolic links, devices and
    folders are skipped, and so are hard links to what is skipped.

    Raises UserError, naming the file, if the archive is corrupt or truncated, or if the target of a hard link is not in
    it.
    """
    targets: dict[str, ByteLocation | None] | None = None
    for header in read_headers(location):
        member_location = header.location
        if header.target:
            if targets is None:
                targets = find_link_targets(location)
            if (target := normal_path(header.target)) not in targets:
                raise UserError(
                    f"prepare.source: {location.path}: {header.path} is a link to {target}, which is not in it; "
                    "get it again"
                )
            member_location = targets[target]
        if member_location is not None:
            yield Member(Path(header.path).name, member_location, header.path)


def find_link_targets(location: ByteLocation) -> dict[str, ByteLocation | None]:
    """Locations of the targets of hard links, by path; None for those that are skipped.

    Reads the archive twice more instead of keeping the locations of all members, possibly millions, in memory.
    """
    wanted = {normal_path(header.target) for header in read_headers(location) if header.target}
    locations: dict[str, ByteLocation | None] = {}
    for header in read_headers(location):
        if (path := normal_path(header.path)) in wanted:
            own = locations.get(normal_path(header.target)) if header.target else header.location
            locations[path] = own or locations.get(path)
    return locations


def normal_path(path: str) -> str:
    return str(PurePosixPath(path))


def read_headers(location: ByteLocation) -> Iterator[Header]:
    size = location.path.stat().st_size if location.size is None and not location.compression else location.size
    try:
        close_replaced(location.path)
        with (
            client_errors(location.path),
            open_content(location.path, location.compression) as file,
            tarfile.open(fileobj=FileRange(file, location.start, size), mode="r:") as tar,  # type: ignore[arg-type]
        ):
            for info in tar:
                if size is not None and info.offset_data + info.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                yield to_header(info, location)
                tar.members.clear()  # tarfile keeps all members otherwise
            check_end(tar.fileobj, tar.offset)  # type: ignore[arg-type]
        if location.compression and location.size is None:
            check_and_share_index(location.path)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"prepare.source: {location.path}: corrupt or incomplete archive ({explain(error)}); download it again"
        ) from error


def to_header(info: tarfile.TarInfo, archive: ByteLocation) -> Header:
    if is_desktop_file(Path(info.name).name):
        return Header(info.name)
    if info.islnk():
        return Header(info.name, target=info.linkname)
    if not info.isreg():
        return Header(info.name)
    return Header(
        info.name, ByteLocation(archive.path, archive.start + info.offset_data, info.size, archive.compression)
    )


def check_end(file: IO[bytes], position: int) -> None:
    """Raise tarfile.ReadError unless a block of zeros follows, since tarfile takes a corrupt header for the end."""
    file.seek(position)
    zeros = 0
    while block := file.read(1 << 16):
        if block.strip(b"\0"):
            raise tarfile.ReadError(f"corrupt header at byte {position:,}")
        zeros += len(block)
    if zeros < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("unexpected end of data")


def whole_archive(path: Path) -> ByteLocation:
    """Location of a whole archive, gzipped or not."""
    return ByteLocation(path, compression="gzip" if is_gzipped(path) else "")


def is_gzipped(path: Path) -> bool:
    """Whether a file begins like gzip; for a remote file, whether its name ends like gzip's, which saves a request."""
    if is_remote(path) or not path.is_file():
        return path.name.endswith(GZIP_SUFFIXES)
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def list_class_archives(path: Path) -> Iterator[tuple[str, ByteLocation]]:
    """Yield (wnid, location of its archive) for n########.tar itself, or for each such archive inside another."""
    if match := WNID.match(path.name):
        yield match[0], whole_archive(path)
        return
    for inner in list_members(whole_archive(path)):
        if (match := WNID.match(inner.name)) and inner.name.endswith(".tar"):
            yield match[0], inner.location


def first_member_name(path: Path) -> str:
    """Name of the first regular file, which shows what kind of archive it is; "" if there is none."""
    return next((member.name for member in list_members(whole_archive(path))), "")
