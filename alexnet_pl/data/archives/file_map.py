"""Content of a file as bytes that are loaded when they are used."""

from mmap import ACCESS_READ, mmap
from pathlib import Path

from alexnet_pl.data.archives.remote import is_remote


def map_file(path: Path) -> mmap | bytes:
    """Map a local file into memory; read a remote one. Raises OSError if it cannot be read."""
    if is_remote(path):
        return path.read_bytes()
    with path.open("rb") as file:
        file.seek(0, 2)
        return mmap(file.fileno(), 0, access=ACCESS_READ) if file.tell() else b""
