"""Bytes of a shard's images in gzip archives, read in the archive's order.

A read at any place decompresses from the last seek position, up to 268 MB before it. Images are stored in the order of
their names, which need not be the archive's: without this, each image could cost as much.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from alexnet_pl.data.archives.gzip import read_gzip
from alexnet_pl.data.archives.location import ByteLocation, LoadedLocation
from alexnet_pl.data.archives.remote import client_errors
from alexnet_pl.data.sources.base import ImageRecord

AT_ONCE = 128 << 20  # bytes of images that are in memory, and of a range that is read at once; a shard has 112 MB
LARGEST_GAP = 8 << 20  # bytes between two images of one range, such as images of the other split


def load_gzipped(records: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
    """Pass records on in their order; the bytes of those in gzip archives are in memory."""
    group: list[ImageRecord] = []
    size = 0
    for record in records:
        own = size_if_gzipped(record.location)
        if size + own > AT_ONCE:
            yield from load_group(group)
            group, size = [], 0
        group.append(record)
        size += own
    yield from load_group(group)


def size_if_gzipped(location: Any) -> int:
    """Bytes of an image that is to be loaded, else 0. One that is too large is left to `ByteLocation.read`."""
    if not isinstance(location, ByteLocation) or location.compression != "gzip" or location.size is None:
        return 0
    return location.size if location.size <= AT_ONCE else 0


def load_group(records: list[ImageRecord]) -> list[ImageRecord]:
    loaded: dict[ByteLocation, LoadedLocation] = {}
    for locations in find_ranges({record.location for record in records if size_if_gzipped(record.location)}):
        with suppress(OSError), client_errors(locations[0].path):  # reading the image itself raises it again
            loaded |= {each: each_loaded for each, each_loaded in zip(locations, read_all(locations), strict=True)}
    return [record._replace(location=loaded.get(record.location, record.location)) for record in records]


def find_ranges(locations: Iterable[ByteLocation]) -> list[list[ByteLocation]]:
    """Group locations of one archive that lie close together, each group sorted by position."""
    ranges: list[list[ByteLocation]] = []
    for location in sorted(locations, key=lambda each: (str(each.path), each.start)):
        if ranges and is_close(ranges[-1], location):
            ranges[-1].append(location)
        else:
            ranges.append([location])
    return ranges


def is_close(before: list[ByteLocation], location: ByteLocation) -> bool:
    gap = location.start - end_of(before[-1])
    return before[0].path == location.path and gap <= LARGEST_GAP and end_of(location) - before[0].start <= AT_ONCE


def end_of(location: ByteLocation) -> int:
    return location.start + (location.size or 0)


def read_all(locations: list[ByteLocation]) -> Iterator[LoadedLocation]:
    """Read the bytes of neighbors, sorted by position, at once."""
    begin = locations[0].start
    data = read_gzip(locations[0].path, begin, end_of(locations[-1]) - begin)
    for location in locations:
        loaded = LoadedLocation(*location)
        loaded.data = bytes(data[location.start - begin : end_of(location) - begin])
        yield loaded
