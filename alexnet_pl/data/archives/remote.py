"""Remote copies of ImageNet (s3://, gs:// and other addresses), read in place through fsspec.

`open_source` returns a path with pathlib's methods (universal_pathlib), so that sources list a remote copy like a local
folder. The functions below read its bytes in few requests.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import fsspec

from alexnet_pl.data.archives.open_files import kept_open
from alexnet_pl.errors import UserError, not_installed, reason

PROTOCOLS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "http", "https", "ssh", "sftp", "file", "memory")
"""Allowed protocols. fsspec has others, which chain file systems or expand templates from files."""
BLOCK = 8 << 20  # bytes per request, so that it also fetches the next images of an archive


def is_remote(address: str | Path) -> bool:
    return "://" in str(address)


def check_protocol(url: str, key: str) -> None:
    """Raise UserError, naming the config key `key`, for a protocol that is not allowed."""
    protocol = url.partition("://")[0]
    if protocol not in PROTOCOLS or "::" in url:
        raise UserError(f"{key}: {url}: cannot be read (only {', '.join(f'{name}://' for name in PROTOCOLS)})")


def open_source(address: str, key: str) -> Path:
    """Path of the folder or archive given by the config key `key`. Raises UserError if an address cannot be read."""
    if is_remote(address):
        check_protocol(address, key)
        try:
            files, path = fsspec.core.url_to_fs(address)
            files.info(path)
        except FileNotFoundError as error:
            raise UserError(f"{key}: {address}: does not exist") from error
        except Exception as error:  # each protocol raises its own errors
            raise UserError(f"{key}: {address}: cannot be read ({reason(error)})") from error
    return parse_path(address)


def parse_path(text: str) -> Path:
    """Convert text to a path; for an address, to a `UPath`. Raises UserError if universal_pathlib is not installed."""
    if not is_remote(text):
        return Path(text)
    try:
        from upath import UPath
    except ImportError as error:
        raise not_installed("universal_pathlib", "remote", f"prepare.source={text}") from error
    return cast(Path, UPath(text))


@contextmanager
def client_errors(path: Path, *kept: type[Exception]) -> Iterator[None]:
    """Turn the errors of a remote file system's client, such as aiohttp's and its ValueErrors, into OSError. `kept`:
    those that say that the content is corrupt."""
    try:
        yield
    except (OSError, EOFError, UserError, *kept):
        raise
    except Exception as error:  # each protocol raises its own errors
        if not is_remote(path):
            raise
        raise OSError(reason(error)) from error


def open_binary(path: Path, buffer: int = -1) -> IO[bytes]:
    """Open a local or remote file for sequential reading. `buffer`: bytes of a local file that are read at once, −1 for
    the file system's block."""
    if not is_remote(path):
        return path.open("rb", buffering=buffer)
    return cast(Any, path).open("rb", block_size=BLOCK, cache_type="readahead")


def open_for_members(path: Path) -> AbstractContextManager[IO[bytes]]:
    """Open an archive to read single members; a remote archive stays open in this thread for the next members."""
    return kept_open(path, open_binary) if is_remote(path) else path.open("rb")


def read_remote(path: Path, start: int, size: int | None) -> bytes:
    """Read `size` bytes of a remote file from `start`, or all from there if None."""
    if size is None:
        return path.read_bytes()[start:]
    with kept_open(path, open_binary) as file:
        file.seek(start)
        return file.read(size)


def list_folder(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield (name, whether it is a folder) of each entry of a folder, in one request and without a `stat` per file."""
    if is_remote(folder):
        files: Any = folder
        for entry in files.fs.ls(files.path, detail=True):
            yield entry["name"].rstrip("/").rpartition("/")[2], entry["type"] == "directory"
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, entry.is_dir()


def walk_files(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """Yield all files below a folder, also below links to folders, which `rglob` skips.

    `above`: device and inode of the folders that lead here; a link to one of them is not followed.
    """
    if is_remote(folder):
        yield from folder.rglob("*.*")
        return
    about = folder.stat()
    if (here := (about.st_dev, about.st_ino)) in above:
        return
    for name, is_folder in list_folder(folder):
        if is_folder:
            yield from walk_files(folder / name, (*above, here))
        else:
            yield folder / name


def file_version(path: Path) -> tuple[int, int | str]:
    """Size and modification time of a file; for a remote file, its ETag or similar instead of the time."""
    if not is_remote(path):
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    files: Any = path
    files.fs.invalidate_cache()
    return files.fs.info(files.path)["size"], files.fs.ukey(files.path)
