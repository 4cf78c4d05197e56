"""Copies of ImageNet on s3://, gs:// and other addresses, read where they lie through fsspec.

`open_source` gives a path with pathlib's methods (universal_pathlib), with which the sources list a copy like a folder;
the functions below read its bytes, with few requests.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

import fsspec

from alexnet_pl.data.archives.open_files import keep_open
from alexnet_pl.errors import UserError, reason

PROTOCOLS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "http", "https", "ssh", "sftp", "file", "memory")
"""Protocols that are allowed. fsspec has others, which chain file systems or expand templates from files."""
BLOCK = 8 << 20  # bytes of a request: the images that follow in an archive come with the first


def is_remote(place: str | Path) -> bool:
    return "://" in str(place)


def check_protocol(url: str, key: str) -> None:
    """Raise UserError, naming the config key `key`, for a protocol that is not allowed."""
    protocol = url.partition("://")[0]
    if protocol not in PROTOCOLS or "::" in url:
        raise UserError(f"{key}: {url}: cannot be read (only {', '.join(f'{name}://' for name in PROTOCOLS)})")


def open_source(place: str, key: str) -> Path:
    """The folder or archive that the config key `key` names. Raises UserError if an address cannot be read."""
    if is_remote(place):
        check_protocol(place, key)
        try:
            files, path = fsspec.core.url_to_fs(place)
            files.info(path)
        except FileNotFoundError as error:
            raise UserError(f"{key}: {place}: does not exist") from error
        except Exception as error:  # each protocol raises errors of its own
            raise UserError(f"{key}: {place}: cannot be read ({reason(error)})") from error
    return parse_path(place)


def parse_path(text: str) -> Path:
    """A path that was written as text; of an address, one with pathlib's methods."""
    if not is_remote(text):
        return Path(text)
    try:
        from upath import UPath
    except ImportError as error:
        raise UserError(f"prepare.source: {text}: needs `pip install alexnet_pl[remote]`") from error
    return cast(Path, UPath(text))


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading from its beginning on."""
    if not is_remote(path):
        return path.open("rb")
    return cast(Any, path).open("rb", block_size=BLOCK, cache_type="readahead")


def open_for_members(path: Path) -> AbstractContextManager[IO[bytes]]:
    """Open an archive to read single members; a remote one stays open in this thread, for the members that follow."""
    return nullcontext(keep_open(path, open_binary)) if is_remote(path) else path.open("rb")


def read_remote(path: Path, start: int, size: int | None) -> bytes:
    """Read a file, or `size` bytes of an archive."""
    if size is None:
        return path.read_bytes()[start:]
    file = keep_open(path, open_binary)
    file.seek(start)
    return file.read(size)


def list_folder(folder: Path) -> Iterator[tuple[str, bool]]:
    """List the names in a folder, and whether each is a folder: one request, and no `stat` of each file."""
    if is_remote(folder):
        files: Any = folder
        for entry in files.fs.ls(files.path, detail=True):
            yield entry["name"].rstrip("/").rpartition("/")[2], entry["type"] == "directory"
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, entry.is_dir()


def file_version(path: Path) -> tuple[int, int | str]:
    """Size and time of change of a file; its ETag or the like for time, where it is remote."""
    if not is_remote(path):
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    files: Any = path
    files.fs.invalidate_cache()
    return files.fs.info(files.path)["size"], files.fs.ukey(files.path)
