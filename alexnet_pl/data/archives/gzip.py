"""Random access into gzip archives without unpacking them."""

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

POINTS = 1024  # places where decompression of a gzip file can begin; 32 kB of memory each
KEPT = threading.local()  # per thread: gzip files that stand open where it last read


def open_packed(path: Path, packed: str) -> AbstractContextManager[IO[bytes]]:
    """The content of an archive as a file that can be read from any place."""
    if packed == "gzip":
        return nullcontext(gunzip_whole(path))
    return path.open("rb")


def read_plain(path: Path, start: int, size: int | None) -> bytes:
    """Bytes of a file that is not compressed, by few calls: each of them hands the interpreter to another thread."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # of a pipe, not wait for somebody to write
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


def gunzip_whole(path: Path) -> IO[bytes]:
    """A gzip file's content, open once a thread; a pass over it notes where later ones can begin."""
    from indexed_gzip import IndexedGzipFile

    kept: OrderedDict[Path, IO[bytes]] = KEPT.__dict__.setdefault("files", OrderedDict())
    if path not in kept:
        spacing = max(1 << 20, path.stat().st_size // POINTS)
        kept[path] = IndexedGzipFile(str(path), spacing=spacing, drop_handles=False)
        with INDICES_LOCK:
            if path in INDICES:
                kept[path].import_index(fileobj=BytesIO(INDICES[path]))  # type: ignore[attr-defined]
        while len(kept) > 2:
            kept.popitem(last=False)[1].close()
    return kept[path]


INDICES: dict[Path, bytes] = {}
INDICES_LOCK = threading.Lock()


def check_and_share_index(path: Path) -> None:
    """Check all of `path` against its own CRC-32, which reading in place never reaches, and let other threads begin
    decompression where this pass found that one can. Raises OSError."""
    file, index = gunzip_whole(path), BytesIO()
    file.build_full_index()  # type: ignore[attr-defined]
    file.export_index(fileobj=index)  # type: ignore[attr-defined]
    with INDICES_LOCK:
        INDICES[path] = index.getvalue()


def explain(error: Exception) -> str:
    """What is wrong with an archive. indexed_gzip gives a wrong checksum as a code, which a buffer may wrap."""
    text = reason(error)
    return "its content does not match its checksum" if "CRC" in text or "length -4" in text else text


class DiskList:
    """Rows kept in a temporary file, to be gone through more than once: what took a pass over an archive to list."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.file = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with its owner)
        weakref.finalize(self, self.file.close)
        for row in rows:
            self.file.write(json.dumps(row, default=str) + "\n")

    def __iter__(self) -> Iterator[Any]:
        self.file.seek(0)
        yield from map(json.loads, self.file)
