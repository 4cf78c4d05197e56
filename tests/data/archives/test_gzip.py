"""Compressed archives: checksums are verified although images are read at random offsets."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from copies import Files, kaggle_tar, numbered, tar, write
from hosted_copies import packed

from alexnet_pl.data.archives import gzip as archives_gzip
from alexnet_pl.data.archives.tar_stream import stream_files
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError


def flip_stored_byte(path: Path, wanted: bytes) -> None:
    """Repack the archive without compression, with one bit of an image flipped and the original checksum."""
    content = gzip.decompress(path.read_bytes())
    data = bytearray(gzip.compress(content, 0))
    data[data.index(wanted) + len(wanted) // 2] ^= 1
    path.write_bytes(data)


def test_flipped_bit_in_kaggles_archive_is_detected(tmp_path: Path) -> None:
    copy = kaggle_tar(tmp_path / "copy")
    (path,) = copy.glob("*.tar.gz")
    flip_stored_byte(path, numbered(2012, "val", 5)["ILSVRC2012_val_00000003.JPEG"])
    with pytest.raises(UserError, match=rf"{path.name}: .*its content does not match its checksum.*download it again"):
        read_source(copy)


def test_flipped_bit_in_hugging_faces_archive_is_detected(tmp_path: Path) -> None:
    copy = packed(tmp_path / "copy")
    path = copy / "train_images_1.tar.gz"
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # flips a bit of the checksum itself
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"train_images_1.tar.gz: .*does not match its checksum"):
        read_source(copy)


def test_large_archive_of_several_streams_is_read(tmp_path: Path) -> None:
    """Written by pigz and `cat`, for example; contains points for random access."""
    rng = np.random.default_rng(0)
    files: Files = {f"n0100000{c}_{i}.JPEG": rng.bytes(300_000) for c in range(2) for i in range(5)}
    data = tar(files)
    write(
        tmp_path / "copy", {"train_images_0.tar.gz": gzip.compress(data[:2_000_000]) + gzip.compress(data[2_000_000:])}
    )
    write(tmp_path / "copy", {"val_images.tar.gz": gzip.compress(tar({"x_1_n01000000.JPEG": b"x"}))})
    listed = read_source(tmp_path / "copy")[1].splits["train"]
    found = {record.name.removeprefix("train/"): record.location.read() for record in listed}
    assert found == files


@pytest.mark.parametrize("name", ["kit.tar", "kit.tar.gz"])
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_lists_are_read_whatever_the_archive_is_named(
    name: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    files: Files = {"a.txt": b"a", "b.xml": b"b"}
    path = write(tmp_path, {name: pack(tar(files))}) / name
    assert dict(stream_files(path, lambda inside: inside.endswith(".txt"), "prepare.source")) == {"a.txt": b"a"}


def test_large_ranges_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS refuses to read 2 GiB at once."""
    (tmp_path / "a.tar").write_bytes(b"0123456789")
    read, counts = os.pread, []

    def pread(file: int, count: int, start: int) -> bytes:
        counts.append(count)
        return read(file, count, start)

    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.setattr(archives_gzip, "AT_ONCE", 4)
    assert archives_gzip.read_range(tmp_path / "a.tar", 1, None) == b"123456789"
    assert max(counts) == 4
