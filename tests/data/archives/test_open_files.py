"""Archives that stay open between reads: replaced, stale and unused ones are closed."""

import errno
import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from copies import tar, write

from alexnet_pl.data.archives.gzip import read_range
from alexnet_pl.data.archives.open_files import close_files
from alexnet_pl.data.archives.tar import list_members, whole_archive
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import list_source
from alexnet_pl.data.sources.packed_rows import read_shard_rows
from alexnet_pl.errors import UserError


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def pack_samples(labels: range) -> bytes:
    return tar({f"{i}{kind}": data for i in labels for kind, data in ((".jpg", b"image"), (".cls", b"%d" % i))})


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "gzip"])
def test_listing_of_a_replaced_archive_has_the_new_labels(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """The file that was open would give the old ones, and an index of a gzip file positions in the old one."""
    path = write(tmp_path, {"train-0000.tar": pack(pack_samples(range(4)))}) / "train-0000.tar"
    assert [row.label for row in read_shard_rows(path, {})] == [0, 1, 2, 3]
    write(tmp_path, {"new": pack(pack_samples(range(5, 9)))})
    (tmp_path / "new").replace(path)
    assert [row.label for row in read_shard_rows(path, {})] == [5, 6, 7, 8]


def test_refused_listing_leaves_no_archive_open(tmp_path: Path) -> None:
    shard = tar({"0.jpg": b"image", "0.cls": b"no number"})
    write(tmp_path / "copy", {"train-0000.tar": shard, "validation-0000.tar": shard})
    close_files()
    before = descriptors()
    for _ in range(2):
        with pytest.raises(UserError, match="not JSON"):
            list_source(PrepareOptions(str(tmp_path / "store"), "x", source=str(tmp_path / "copy")))
    assert descriptors() == before


def test_stale_descriptor_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, {"a.tar": b"content"}) / "a.tar"
    assert read_range(path, 0, 3) == b"con"

    def stale(*_: int) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle")

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", stale)
        with pytest.raises(OSError, match=r"Stale file handle: .*a\.tar"):
            read_range(path, 0, 3)
    assert descriptors() == before - 1
    assert read_range(path, 3, 4) == b"tent"


def test_archive_stays_open_while_it_is_listed(tmp_path: Path) -> None:
    """Also if more archives than a thread keeps open are read meanwhile."""
    write(tmp_path, {"a.tar": gzip.compress(tar({f"{i}.JPEG": b"image" for i in range(5)}))})
    write(tmp_path, {f"{i}.tar": b"content" for i in range(5)})
    names = []
    for i, member in enumerate(list_members(whole_archive(tmp_path / "a.tar"))):
        names.append(member.name)
        assert read_range(tmp_path / f"{i}.tar", 0, 3) == b"con"
    assert names == [f"{i}.JPEG" for i in range(5)]


def test_files_of_a_thread_are_closed_when_it_ends(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.tar": b"content"}) / "a.tar"
    before = descriptors()
    for _ in range(5):
        thread = threading.Thread(target=read_range, args=(path, 0, 3))
        thread.start()
        thread.join()
    assert descriptors() == before
