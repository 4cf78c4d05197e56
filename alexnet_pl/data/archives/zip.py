"""Zip archives of any size, read in place: Kaggle's holds two million files.

The standard library keeps an object of 0.65 kB for each of them and takes no more than its table of contents to tell
where an image lies; here the table goes by in a stream, and a file's own header is read together with the file.
Layout: PKWARE's APPNOTE.TXT, sections 4.3 (headers) and 4.5.3 (64-bit sizes).
"""

import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from alexnet_pl.errors import UserError

STORED, DEFLATED = 0, 8
OVERFLOW16, OVERFLOW32 = 0xFFFF, 0xFFFFFFFF  # the number is in the 64-bit record
ENCRYPTED, UTF8 = 1, 1 << 11  # flags
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
CENTRAL_ENTRY = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
CHUNK = 1 << 16


class ZipMember(NamedTuple):
    """A file of the archive: `start` is that of its own header, `size` its bytes when inflated."""

    name: str
    start: int
    size: int


class CorruptZipError(ValueError):
    """The archive is not what its format says."""


def list_zip_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[ZipMember]:
    """The files of wanted names, in the order of the table of contents; no links, which are never followed.

    Raises UserError where the archive is damaged, or a wanted file cannot be read in place.
    """
    try:
        with path.open("rb") as file:
            count, start = find_central_directory(file)
            file.seek(start)
            for _ in range(count):
                member, problem = read_entry(file)
                if problem != "link" and wanted(member.name):
                    if problem:
                        advice = "unpack the archive, and prepare the folder"
                        raise UserError(f"prepare.source: {path}: {member.name} is {problem}; {advice}")
                    yield member
    except (CorruptZipError, struct.error, OSError) as error:
        raise UserError(f"prepare.source: {path}: damaged or incomplete archive ({error}); get it again") from error


def find_central_directory(file: IO[bytes]) -> tuple[int, int]:
    """(number of entries, where their table begins)."""
    size = file.seek(0, 2)
    file.seek(max(0, size - END.size - OVERFLOW16))
    tail = file.read()
    position = tail.rfind(b"PK\5\6")
    if position < 0:
        raise CorruptZipError("no table of contents at its end")
    _, _, _, _, count, _, start, comment = END.unpack_from(tail, position)
    if len(tail) < position + END.size + comment:
        raise CorruptZipError("its end is missing")
    if count == OVERFLOW16 or start == OVERFLOW32:
        mark, _, record, _ = (
            LOCATOR.unpack_from(tail, position - LOCATOR.size) if position >= LOCATOR.size else (b"", 0, 0, 0)
        )
        if mark != b"PK\6\7":
            raise CorruptZipError("no 64-bit table of contents")
        file.seek(record)
        mark, *_, count, _, start = END64.unpack(file.read(END64.size))
        if mark != b"PK\6\6":
            raise CorruptZipError("no 64-bit table of contents")
    return count, start


def read_entry(file: IO[bytes]) -> tuple[ZipMember, str]:
    """The next entry of the table, and why it cannot be read: "", "link", or a reason for the user."""
    mark, _, _, flags, method, _, _, _, packed, size, name, extra, comment, _, _, attributes, start = (
        CENTRAL_ENTRY.unpack(file.read(CENTRAL_ENTRY.size))
    )
    if mark != b"PK\1\2":
        raise CorruptZipError("its table of contents ends early")
    text = file.read(name).decode("utf-8" if flags & UTF8 else "cp437", "surrogateescape")
    size, start = read_64bit_sizes(file.read(extra), size, packed, start)
    file.seek(comment, 1)
    problem = "" if method in (STORED, DEFLATED) else f"compressed by method {method}"
    problem = "encrypted" if flags & ENCRYPTED else problem
    problem = "link" if stat.S_ISLNK(attributes >> 16) or text.endswith("/") else problem
    return ZipMember(text, start, size), problem


def read_64bit_sizes(extra: bytes, size: int, packed: int, start: int) -> tuple[int, int]:
    """(size, start), those that do not fit 32 bits from the 64-bit record."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            wide = list(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            size, packed, start = (wide.pop(0) if value == OVERFLOW32 else value for value in (size, packed, start))
            return size, start
        position += 4 + length
    return size, start


def read_member(path: Path, start: int, size: int) -> bytes:
    """The file whose header is at `start`. Raises ValueError where its checksum is another, OSError where it is cut."""
    with path.open("rb") as file:
        file.seek(start)
        head = file.read(LOCAL_HEADER.size)
        if len(head) < LOCAL_HEADER.size or not head.startswith(b"PK\3\4"):
            raise OSError(f"{path}: not what it was when it was listed")
        _, _, _, method, _, _, checksum, _, _, name, extra = LOCAL_HEADER.unpack(head)
        file.seek(name + extra, 1)
        data = file.read(size) if method == STORED else inflate(file, size)
    if checksum and len(data) == size and zlib.crc32(data) != checksum:  # 0: it follows the file, unread
        raise ValueError("not the bytes that the archive's checksum is of")
    return data


def inflate(file: IO[bytes], size: int) -> bytes:
    stream, data = zlib.decompressobj(-15), bytearray()
    while len(data) < size and (chunk := file.read(CHUNK)):
        data += stream.decompress(chunk, size - len(data))
    return bytes(data)
