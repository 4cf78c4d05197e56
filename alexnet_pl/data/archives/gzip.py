"""Random access into gzip files without unpacking them."""

import errno
import json
import os
import stat
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from alexnet_pl.errors import reason

SEEK_POINTS = 1024  # positions per file at which decompression can start; 32 kB of memory each
THREAD_STATE = threading.local()  # per thread: open gzip files, positioned where it last read


def open_content(path: Path, compression: str) -> AbstractContextManager[IO[bytes]]:
    """Open the uncompressed content of an archive as a seekable file."""
    if compression == "gzip":
        return nullcontext(open_gzip(path))
    return path.open("rb")


def read_range(path: Path, start: int, size: int | None) -> bytes:
    """Read bytes of an uncompressed file with few system calls, each of which releases the GIL."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # never waits for the writer of a pipe
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "neither a file nor a link to one")
        count = about.st_size if size is None else size
        data = os.pread(file, count, start)
        while len(data) < count and (more := os.pread(file, count - len(data), start + len(data))):
            data += more
        return data
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(file)


def open_gzip(path: Path) -> IO[bytes]:
    """Open the content of a gzip file once per thread; reading it builds an index of seek positions."""
    from indexed_gzip import IndexedGzipFile

    open_files: OrderedDict[Path, IO[bytes]] = THREAD_STATE.__dict__.setdefault("files", OrderedDict())
    if path not in open_files:
        spacing = max(1 << 20, path.stat().st_size // SEEK_POINTS)
        open_files[path] = IndexedGzipFile(str(path), spacing=spacing, drop_handles=False)
        with INDICES_LOCK:
            if path in INDICES:
                open_files[path].import_index(fileobj=BytesIO(INDICES[path]))  # type: ignore[attr-defined]
        while len(open_files) > 2:
            open_files.popitem(last=False)[1].close()
    return open_files[path]


INDICES: dict[Path, bytes] = {}
INDICES_LOCK = threading.Lock()


def check_and_share_index(path: Path) -> None:
    """Check a gzip file against its CRC-32, which random access never reaches, and share its index with other threads.

    Raises OSError if the checksum differs.
    """
    file, index = open_gzip(path), BytesIO()
    file.build_full_index()  # type: ignore[attr-defined]
    file.export_index(fileobj=index)  # type: ignore[attr-defined]
    with INDICES_LOCK:
        INDICES[path] = index.getvalue()


def explain(error: Exception) -> str:
    """What is wrong with an archive. indexed_gzip gives a wrong checksum as a code, which a buffer may wrap."""
    text = reason(error)
    return "its content does not match its checksum" if "CRC" in text or "length -4" in text else text


class DiskList:
    """List of JSON rows in a temporary file, for listings of archives that do not fit in memory."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.file = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by the finalizer)
        weakref.finalize(self, self.file.close)
        for row in rows:
            self.file.write(json.dumps(row, default=str) + "\n")

    def __iter__(self) -> Iterator[Any]:
        self.file.seek(0)
        yield from map(json.loads, self.file)
