"""Image archives read in place: where each member's bytes lie, also within an archive within an archive."""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from alexnet_pl.data.source import Place
from alexnet_pl.errors import UserError

WNID = re.compile(r"n\d{8}")


class Member(NamedTuple):
    """A regular file of an archive; `name` is its last part alone, so that no path of an archive is ever followed."""

    name: str
    place: Place


class Part:
    """The bytes `start` … `start + size` of a file, as a file: what lies in an archive without copying it out."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def tell(self) -> int:
        return self.at

    def seek(self, to: int, whence: int = 0) -> int:
        self.at = to + {0: 0, 1: self.at, 2: self.size}[whence]
        return self.at

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self.at)
        self.file.seek(self.start + self.at)
        data = self.file.read(left if count < 0 else min(count, left))
        self.at += len(data)
        return data


def members(place: Place) -> Iterator[Member]:
    """The regular files of an uncompressed tar, in its order. Links, devices and folders are passed over.

    Raises UserError, naming the file, where the archive is damaged or cut off.
    """
    size = place.path.stat().st_size if place.size is None else place.size
    try:
        with place.path.open("rb") as file, tarfile.open(fileobj=Part(file, place.start, size), mode="r:") as tar:  # type: ignore[arg-type]
            for found in tar:
                if found.offset_data + found.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                if found.isreg():
                    inside = Place(place.path, place.start + found.offset_data, found.size)
                    yield Member(Path(found.name).name, inside)
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"data.source: {place.path}: damaged or incomplete archive ({error}); get it again") from error


def by_class(place: Place) -> Iterator[tuple[str, Member]]:
    """(wnid, image) of an archive of archives n########.tar, or of images in one such archive."""
    if found := WNID.match(place.path.name) if place.size is None else None:
        yield from ((found[0], member) for member in members(place))
        return
    for inner in members(place):
        if (found := WNID.match(inner.name)) and inner.name.endswith(".tar"):
            yield from ((found[0], member) for member in members(inner.place))


def first(path: Path) -> str:
    """The name of the first regular file of an archive: enough to tell what it is."""
    return next((member.name for member in members(Place(path))), "")
