"""Zip archives of any size, read in place; Kaggle's has two million files.

`zipfile` keeps a 0.65 kB object per file in memory, 1.3 GB in total. Here the central directory is read as a stream,
and a file's local header is read together with its data. Format: PKWARE's APPNOTE.TXT, sections 4.3 (headers) and 4.5.3
(64-bit sizes).
"""

import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from alexnet_pl.data.archives.remote import client_errors, open_binary, open_for_members
from alexnet_pl.errors import UserError

STORED, DEFLATED = 0, 8
OVERFLOW16, OVERFLOW32 = 0xFFFF, 0xFFFFFFFF  # the value is in the 64-bit record
ENCRYPTED, UTF8 = 1, 1 << 11  # flags
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
CENTRAL_ENTRY = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
CHUNK = 1 << 16


class ZipMember(NamedTuple):
    """File in a zip archive: `start`, the offset of its local header; `size`, its bytes when decompressed; `checksum`,
    their CRC-32, which a local header of a streamed archive lacks."""

    name: str
    start: int
    size: int
    checksum: int


class CorruptZipError(ValueError):
    """The archive does not follow the zip format, or a file in it is corrupt."""


def list_zip_members(path: Path, wanted: Callable[[str], bool], key: str = "prepare.source") -> Iterator[ZipMember]:
    """List the files whose names `wanted` accepts, in the order of the central directory; links are skipped.

    Raises UserError, naming the config key `key`, if the archive is corrupt, or if an accepted file is encrypted or of
    an unknown compression.
    """
    try:
        with client_errors(path, CorruptZipError), open_binary(path) as file:
            count, start = find_central_directory(file)
            file.seek(start)
            for _ in range(count):
                member, problem = read_entry(file)
                if problem != "link" and wanted(member.name):
                    if problem:
                        advice = "unpack the archive, and prepare the folder"
                        raise UserError(f"{key}: {path}: {member.name} is {problem}; {advice}")
                    yield member
    except (CorruptZipError, struct.error, OSError) as error:
        raise UserError(f"{key}: {path}: corrupt or incomplete archive ({error}); download it again") from error


def find_central_directory(file: IO[bytes]) -> tuple[int, int]:
    """Find the central directory: (number of entries, offset)."""
    size = file.seek(0, 2)
    file.seek(max(0, size - END.size - OVERFLOW16))
    tail = file.read()
    position = tail.rfind(b"PK\5\6")
    if position < 0:
        raise CorruptZipError("no central directory at its end")
    _, _, _, _, count, _, start, comment = END.unpack_from(tail, position)
    if len(tail) < position + END.size + comment:
        raise CorruptZipError("truncated")
    if count == OVERFLOW16 or start == OVERFLOW32:
        mark, _, record, _ = (
            LOCATOR.unpack_from(tail, position - LOCATOR.size) if position >= LOCATOR.size else (b"", 0, 0, 0)
        )
        if mark != b"PK\6\7":
            raise CorruptZipError("no 64-bit central directory")
        file.seek(record)
        mark, *_, count, _, start = END64.unpack(file.read(END64.size))
        if mark != b"PK\6\6":
            raise CorruptZipError("no 64-bit central directory")
    return count, start


def read_entry(file: IO[bytes]) -> tuple[ZipMember, str]:
    """Read the next entry of the central directory: (member, why it cannot be read: "", "link" or a text to print)."""
    mark, _, _, flags, method, _, _, checksum, packed, size, name, extra, comment, _, _, attributes, start = (
        CENTRAL_ENTRY.unpack(file.read(CENTRAL_ENTRY.size))
    )
    if mark != b"PK\1\2":
        raise CorruptZipError("its central directory ends early")
    text = file.read(name).decode("utf-8" if flags & UTF8 else "cp437", "surrogateescape")
    if "/" not in text:  # some programs for Windows write its separator
        text = text.replace("\\", "/")
    size, start = read_64bit_sizes(file.read(extra), size, packed, start)
    file.seek(comment, 1)
    problem = "" if method in (STORED, DEFLATED) else f"compressed by method {method}"
    problem = "encrypted" if flags & ENCRYPTED else problem
    problem = "link" if stat.S_ISLNK(attributes >> 16) or text.endswith("/") else problem
    return ZipMember(text, start, size, checksum), problem


def read_64bit_sizes(extra: bytes, size: int, packed: int, start: int) -> tuple[int, int]:
    """Return (size, start), taking values that do not fit 32 bits from the 64-bit record."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            wide = list(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            size, packed, start = (wide.pop(0) if value == OVERFLOW32 else value for value in (size, packed, start))
            return size, start
        position += 4 + length
    return size, start


def read_member(path: Path, start: int, size: int, checksum: int) -> bytes:
    """Read the file whose local header is at `start`. Raises CorruptZipError if it is corrupt, OSError if truncated."""
    with open_for_members(path) as file:
        file.seek(start)
        head = file.read(LOCAL_HEADER.size)
        if len(head) < LOCAL_HEADER.size or not head.startswith(b"PK\3\4"):
            raise OSError(f"{path}: changed since it was listed")
        _, _, _, method, _, _, _, _, _, name, extra = LOCAL_HEADER.unpack(head)
        file.seek(name + extra, 1)
        data = file.read(size) if method == STORED else inflate(file, size)
    if len(data) == size and zlib.crc32(data) != checksum:
        raise CorruptZipError("checksum mismatch in the archive")
    return data


def inflate(file: IO[bytes], size: int) -> bytes:
    stream, data = zlib.decompressobj(-15), bytearray()
    try:
        while len(data) < size and (chunk := file.read(CHUNK)):
            data += stream.decompress(chunk, size - len(data))
    except zlib.error as error:
        raise CorruptZipError(str(error)) from error
    return bytes(data)
