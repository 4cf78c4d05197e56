"""Random access into gzip files without unpacking them."""

import errno
import os
import stat
import threading
import weakref
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO
from math import isqrt
from pathlib import Path
from typing import IO, Any

from alexnet_pl.data.archives.open_files import kept_open
from alexnet_pl.data.archives.remote import file_version, is_remote, open_binary, read_remote
from alexnet_pl.errors import reason

AT_ONCE = 2**30  # bytes per read; macOS refuses 2 GiB
SEEK_POINTS = 1024  # positions per file at which decompression can start; 32 kB of memory each, and as much exported
BUFFER = 1 << 20  # bytes that are decompressed at least for a read
# bytes that are read to list a file in an archive; on NFS Python would choose 1 MB, which contains the next ten files
HEADERS = 8192


def open_content(path: Path, compression: str) -> AbstractContextManager[IO[bytes]]:
    """Open the uncompressed content of an archive as a seekable file, to list it."""
    return open_gzip(path) if compression == "gzip" else open_binary(path, HEADERS)


def read_range(path: Path, start: int, size: int | None) -> bytes:
    """Read `size` bytes of an uncompressed file from `start`, or all if None. Raises OSError, naming the file.

    Makes few system calls, since each releases the GIL. An archive, of which `size` bytes are read, stays open in this
    thread for the next ones: on a network's file system opening a file takes a millisecond.
    """
    if is_remote(path):
        return read_remote(path, start, size)
    if size is not None:
        with kept_open(path, OpenFile) as kept:
            return kept.read(start, size)
    file = OpenFile(path)
    try:
        return file.read(start, file.size)
    finally:
        file.close()


class OpenFile:
    """Descriptor of a regular file, and its size when it was opened. Closed at the latest when the object is deleted,
    as those cached by a thread are when it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # does not wait for the writer of a named pipe
        self.close = weakref.finalize(self, os.close, self.descriptor)
        about = os.fstat(self.descriptor)
        self.size = about.st_size
        if not stat.S_ISREG(about.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "neither a file nor a link to one", str(path))

    def read(self, start: int, size: int) -> bytes:
        """Read `size` bytes from `start`, less at the end of the file."""
        try:
            data = self.read_part(start, size)
            while len(data) < size and (more := self.read_part(start + len(data), size - len(data))):
                data += more
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        return data

    def read_part(self, start: int, size: int) -> bytes:
        return os.pread(self.descriptor, min(size, AT_ONCE), start)


def read_gzip(path: Path, start: int, size: int | None) -> memoryview:
    """Read `size` bytes of a gzip file's content from `start`, or all from there if None; less at its end.

    More than `BUFFER` bytes are one request to indexed_gzip, since each request decompresses what lies between the last
    seek position and its start.
    """
    file: Any
    with kept_open(path, partial(open_gzip_anew, buffer=BUFFER)) as file:
        file.seek(start)
        if size is None:
            return memoryview(file.read())
        data = memoryview(bytearray(size))
        return data[: file.readinto(data)]


def open_gzip(path: Path) -> AbstractContextManager[IO[bytes]]:
    """Open the content of a gzip file once per thread, to list it; reading it builds an index of seek positions.

    Its buffer is large: the many small reads of a listing fill it one after the other. Images are read with a small one
    after `close_files`.
    """
    return kept_open(path, partial(open_gzip_anew, buffer=None))


def open_gzip_anew(path: Path, buffer: int | None) -> IO[bytes]:
    """`buffer`: its size in bytes; None for the spacing of seek positions. The default of indexed_gzip is four times
    that, 580 MB for Kaggle's archive."""
    from indexed_gzip import IndexedGzipFile

    spacing = seek_spacing(path.stat().st_size)
    opened: dict[str, Any] = {"fileobj": open_binary(path)} if is_remote(path) else {"filename": str(path)}
    file = IndexedGzipFile(**opened, spacing=spacing, drop_handles=False, buffer_size=buffer or spacing)
    with INDICES_LOCK:
        version, index = INDICES.get(path, (None, b""))
    if index and version == file_version(path):
        file.import_index(fileobj=BytesIO(index))
    return file


def seek_spacing(size: int) -> int:
    """Bytes between seek positions in a file of `size` bytes.

    A read at any place decompresses up to as many bytes and keeps them in memory. In files above 69 GB there are more
    positions, so that they and the skipped bytes take the same memory (268 MB each for a terabyte).
    """
    return max(1 << 20, min(size // SEEK_POINTS, isqrt(size) << 8))


INDICES: dict[Path, tuple[tuple[int, int | str], bytes]] = {}  # version of the file, and its index
INDICES_LOCK = threading.Lock()


def check_and_share_index(path: Path) -> None:
    """Verify the CRC-32 of a gzip file, which random access skips, and share its index with other threads.

    Raises OSError if the checksum differs.
    """
    file: Any
    index = BytesIO()
    with open_gzip(path) as file:
        file.build_full_index()
        file.export_index(fileobj=index)
    with INDICES_LOCK:
        INDICES[path] = file_version(path), index.getvalue()


def explain(error: Exception) -> str:
    """Error message for a corrupt archive. indexed_gzip reports a wrong checksum as an error code within other text."""
    text = reason(error)
    return "its content does not match its checksum" if "CRC" in text or "length -4" in text else text
