"""Random access into gzip files without unpacking them."""

import errno
import os
import stat
import threading
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from alexnet_pl.data.archives.open_files import keep_open
from alexnet_pl.data.archives.remote import is_remote, open_binary, read_remote
from alexnet_pl.errors import reason

AT_ONCE = 2**30  # bytes per read; macOS refuses 2 GiB
SEEK_POINTS = 1024  # positions per file at which decompression can start; 32 kB of memory each


def open_content(path: Path, compression: str) -> AbstractContextManager[IO[bytes]]:
    """Open the uncompressed content of an archive as a seekable file."""
    return nullcontext(open_gzip(path)) if compression == "gzip" else open_binary(path)


def read_range(path: Path, start: int, size: int | None) -> bytes:
    """Read `size` bytes of an uncompressed file from `start`, or all if None. Raises OSError, naming the file.

    Makes few system calls, since each releases the GIL.
    """
    if is_remote(path):
        return read_remote(path, start, size)
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # does not wait for the writer of a named pipe
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "neither a file nor a link to one")
        count = about.st_size if size is None else size
        data = os.pread(file, min(count, AT_ONCE), start)
        while len(data) < count and (more := os.pread(file, min(count - len(data), AT_ONCE), start + len(data))):
            data += more
        return data
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(file)


def open_gzip(path: Path) -> IO[bytes]:
    """Open the content of a gzip file once per thread; reading it builds an index of seek positions."""
    return keep_open(path, open_gzip_anew)


def open_gzip_anew(path: Path) -> IO[bytes]:
    from indexed_gzip import IndexedGzipFile

    spacing = max(1 << 20, path.stat().st_size // SEEK_POINTS)
    opened: dict[str, Any] = {"fileobj": open_binary(path)} if is_remote(path) else {"filename": str(path)}
    file = IndexedGzipFile(**opened, spacing=spacing, drop_handles=False)
    with INDICES_LOCK:
        if path in INDICES:
            file.import_index(fileobj=BytesIO(INDICES[path]))
    return file


INDICES: dict[Path, bytes] = {}
INDICES_LOCK = threading.Lock()


def check_and_share_index(path: Path) -> None:
    """Verify the CRC-32 of a gzip file, which random access skips, and share its index with other threads.

    Raises OSError if the checksum differs.
    """
    file, index = open_gzip(path), BytesIO()
    file.build_full_index()  # type: ignore[attr-defined]
    file.export_index(fileobj=index)  # type: ignore[attr-defined]
    with INDICES_LOCK:
        INDICES[path] = index.getvalue()


def explain(error: Exception) -> str:
    """Error message for a corrupt archive. indexed_gzip reports a wrong checksum as an error code within other text."""
    text = reason(error)
    return "its content does not match its checksum" if "CRC" in text or "length -4" in text else text
