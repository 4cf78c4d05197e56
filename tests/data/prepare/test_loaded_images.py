"""Shards of images in a gzip archive, whose order differs from the store's."""

import gzip
from pathlib import Path
from typing import Any

import indexed_gzip
import pytest
from copies import Files, photo, tar, write
from photographs import draw, make

from alexnet_pl.data.archives.gzip import BUFFER, seek_spacing
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.open_files import close_files
from alexnet_pl.data.archives.tar import list_members, whole_archive
from alexnet_pl.data.prepare import loaded_images
from alexnet_pl.data.prepare.loaded_images import load_gzipped
from alexnet_pl.data.sources.base import ImageRecord
from alexnet_pl.data.sources.synset_archives import read_synset_archives
from alexnet_pl.data.store.store import Store

KAGGLE = 155_800_000_000  # bytes of its .tar.gz
WNIDS = ("n00000001", "n00000002")


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    """Archives of synsets, each with its images in the reverse order of their names."""
    for seed, wnid in enumerate(WNIDS):
        paths = [tmp_path / f"{wnid}/{wnid}_{i}.png" for i in range(12)]
        for number, path in enumerate(paths):
            draw(path, 100 * seed + number)
        files = {path.name: path.read_bytes() for path in reversed(paths)}
        write(tmp_path / "loose", {f"{wnid}.tar": tar(files)})
    return tmp_path / "loose"


@pytest.fixture
def archive(loose: Path, tmp_path: Path) -> Path:
    """The same in an archive, the last synset first."""
    inner = {f"{wnid}.tar": (loose / f"{wnid}.tar").read_bytes() for wnid in reversed(WNIDS)}
    return write(tmp_path / "packed", {"winter21_whole.tar.gz": gzip.compress(tar(inner))}) / "winter21_whole.tar.gz"


def content(root: Path) -> dict[str, bytes]:
    """Bytes of all files except store.json, and its fingerprint."""
    files = {path.name: path.read_bytes() for path in root.iterdir() if path.name != "store.json"}
    return {**files, "fingerprint": Store(root).fingerprint.encode()}


@pytest.mark.parametrize("at_once", [128 << 20, 3000, 1])
@pytest.mark.parametrize("workers", [1, 2])
def test_store_is_that_of_archives_without_compression(
    loose: Path, archive: Path, at_once: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_images, "AT_ONCE", at_once)
    make(read_synset_archives(loose), tmp_path / "wanted")
    make(read_synset_archives(archive), tmp_path / "store", workers=workers)
    assert content(tmp_path / "store") == content(tmp_path / "wanted")


def ranges_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(start, end) of each range that is read from now on."""
    found: list[tuple[int, int]] = []
    read = loaded_images.read_gzip

    def recorded(path: Path, start: int, size: int) -> memoryview:
        found.append((start, start + size))
        return read(path, start, size)

    monkeypatch.setattr(loaded_images, "read_gzip", recorded)
    return found


def test_images_of_a_shard_are_one_read_whatever_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: Files = {f"{i}.JPEG": photo(i) for i in range(50)}
    path = write(tmp_path, {"a.tar.gz": gzip.compress(tar(files))}) / "a.tar.gz"
    backwards = [ImageRecord(each.name, 0, each.location) for each in list_members(whole_archive(path))][::-1]
    found = ranges_read(monkeypatch)
    loaded = list(load_gzipped(backwards))
    assert [(each.name, each.location.read()) for each in loaded] == list(reversed(files.items()))
    assert found == [(backwards[-1].location.start, backwards[0].location.start + len(files["49.JPEG"]))]


def test_bytes_in_memory_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of images that are next to each other, and of those far apart."""
    monkeypatch.setattr(loaded_images, "AT_ONCE", 100)
    monkeypatch.setattr(loaded_images, "LARGEST_GAP", 30)
    at = [(0, 40), (40, 40), (80, 40), (140, 10), (190, 10), (1000, 101)]
    locations = [ByteLocation(Path("a.tar.gz"), start, size, "gzip") for start, size in at]
    found = [[each.start for each in group] for group in loaded_images.find_ranges(locations[:5])]
    assert found == [[0, 40], [80, 140], [190]]
    read: list[tuple[int, int]] = []
    monkeypatch.setattr(
        loaded_images, "read_gzip", lambda path, start, size: (read.append((start, size)), memoryview(bytes(size)))[1]
    )
    records = [ImageRecord(str(number), 0, location) for number, location in enumerate(locations)]
    groups = load_gzipped(records)
    next(groups)
    assert read == [(0, 80)]
    assert [record.location for record in (*groups,)] == locations[1:]
    assert read == [(0, 80), (80, 70), (190, 10)]  # the last image is larger, and read by itself


def test_archive_that_is_gone_is_named(archive: Path) -> None:
    records = list(read_synset_archives(archive).splits["train"])
    archive.unlink()
    close_files()
    for record in load_gzipped(records):
        with pytest.raises(FileNotFoundError, match=archive.name):
            record.location.read()


def test_changed_location_of_an_image_in_memory_reads_the_archive(archive: Path) -> None:
    record = next(load_gzipped(read_synset_archives(archive).splits["train"]))
    assert record.location.data == record.location.read()
    part = record.location._replace(start=record.location.start + 1, size=3)
    assert part.read() == record.location.read()[1:4]


def test_image_is_read_with_a_small_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kaggle's archive took 580 MB in each worker: four times the distance of seek positions."""
    opened: list[dict[str, Any]] = []
    whole = indexed_gzip.IndexedGzipFile

    def recorded(**options: Any) -> Any:
        opened.append(options)
        return whole(**options)

    monkeypatch.setattr(indexed_gzip, "IndexedGzipFile", recorded)
    path = write(tmp_path, {"a.tar.gz": gzip.compress(tar({"a.JPEG": b"content"}))}) / "a.tar.gz"
    spacing = seek_spacing(KAGGLE)
    monkeypatch.setattr("alexnet_pl.data.archives.gzip.seek_spacing", lambda _: spacing)
    (member,) = list_members(whole_archive(path))
    close_files()
    assert member.location.read() == b"content"
    assert [each["buffer_size"] for each in opened] == [spacing, BUFFER]
    assert 50 * BUFFER < spacing < KAGGLE // 1024


@pytest.mark.parametrize("size", [10**6, 10**9, 29 * 10**9, KAGGLE, 1_100_000_000_000])
def test_memory_for_random_access(size: int) -> None:
    """Per process: 64 kB per seek position, and what a read skips. indexed_gzip has 32 bits for 4 times the latter."""
    spacing = seek_spacing(size)
    assert size // spacing * 65536 + spacing < 600 << 20
    assert 1 << 20 <= spacing < 1 << 30
