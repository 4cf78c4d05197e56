"""`prepare`: refusals that leave everything unchanged."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NoReturn

import numpy as np
import pytest
from photographs import PLAIN, READ, SIZE, beside, draw, make

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.prepare import pipeline, shard, workers
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.plan import Part, with_sizes
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.sources.disk_list import DiskList, lists_beside
from alexnet_pl.data.sources.image_folder import read_folders
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

Usage = namedtuple("Usage", "total used free")


def test_insufficient_disk_space_is_reported_before_writing(
    source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """18 images of 3 × 8 × 8 bytes; the folder's parents need not exist yet."""
    needed, asked = (18 * 3 + 4 * 24) * SIZE**2, []  # plus the data kept for each of four shards until the end

    def usage(path: Any, free: int) -> Usage:
        asked.append(Path(path))
        return Usage(10**12, 0, free)

    root = tmp_path / "new/deep/store"
    monkeypatch.setattr(shutil, "disk_usage", partial(usage, free=needed - 1))
    with pytest.raises(UserError, match=r"^data\.root: .* free"):
        make(source, root)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"plan.json", "plan.lock", "users"}
    assert asked == [root.with_name("store.partial")]
    monkeypatch.setattr(shutil, "disk_usage", partial(usage, free=2 * needed))
    make(source, root)
    assert len(Store(root).split("val")) == 3


def test_whole_images_need_no_space_for_mean_images(
    source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sums of their shards are a number per channel, not per pixel."""
    size = 100
    needed = int(18 * 1.5 * 0.5 * size**2)  # photographs of 3:2, as JPEGs of half a byte per pixel
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, needed))
    read = partial(shard.read_whole, size=size, filter_name="bilinear")
    make(source, tmp_path / "store", read, size=size, encoding=StoreEncoding("whole"))


def test_finished_shards_need_no_disk_space(
    source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2))
    left = (3 * (4 + 3) + 2 * 24) * SIZE**2  # the second and the last of five shards: 4, 4, 4, 3 and 3 images
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, left + 3 * SIZE**2))
    make(source, tmp_path / "store")
    assert len(Store(tmp_path / "store").split("train")) == 12


def test_nonempty_folder_is_refused_and_unchanged(source: DatasetListing, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    (root / "thesis.tex").write_text("three years")
    with pytest.raises(UserError, match=rf"^data\.root: {root}.* empty or a new folder"):
        make(source, root)
    assert [path.name for path in root.iterdir()] == ["thesis.tex"]
    assert (root / "thesis.tex").read_text() == "three years"
    assert beside(root) == ["mine"]


def test_complete_store_is_refused(source: DatasetListing, tmp_path: Path) -> None:
    about = make(source, tmp_path / "store")
    with pytest.raises(UserError, match=r"^data\.root"):
        make(source, tmp_path / "store", how={})
    assert Store(tmp_path / "store").description == about


def test_empty_folder_is_accepted(source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    make(source, tmp_path / "store")
    assert len(Store(tmp_path / "store").split("train")) == 12
    monkeypatch.chdir(tmp_path)
    make(source, Path("relative/"))
    assert Store("relative").manifest == Store(tmp_path / "store").manifest


def test_folder_that_a_desktop_has_shown_is_empty(source: DatasetListing, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/.DS_Store").touch()
    make(source, tmp_path / "store")
    assert not (tmp_path / "store/.DS_Store").exists()
    (tmp_path / "other").mkdir()
    for name in (".DS_Store", ".git"):  # a hidden file may be the user's
        (tmp_path / "other" / name).touch()
    with pytest.raises(UserError, match="exists and holds no store"):
        make(source, tmp_path / "other")
    assert {path.name for path in (tmp_path / "other").iterdir()} == {".DS_Store", ".git"}


def test_root_that_is_a_file_is_refused_and_unchanged(source: DatasetListing, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(UserError, match=r"^data\.root: .*store"):
        make(source, tmp_path / "store")
    assert (tmp_path / "store").read_text() == "not a folder"


def test_current_folder_as_root_is_refused_or_filled(
    source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`data.root=.` has no name to which `.partial` could be added."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    try:
        make(source, Path("."))
    except UserError as error:
        assert "data.root" in str(error)  # noqa: PT017 (either is well)
    else:
        assert len(Store(tmp_path / "here").split("train")) == 12


def test_split_without_readable_images_is_reported(source: DatasetListing, tmp_path: Path) -> None:
    def only_training(item: ImageRecord) -> tuple[np.ndarray, str]:
        if item.name.startswith("val"):
            raise ValueError("broken")
        return READ(item)

    with pytest.raises(UserError, match=r"^prepare\.source: none of the 3 images of val"):
        make(source, tmp_path / "store", only_training)
    assert not (tmp_path / "store").exists()


def test_many_unreadable_images_are_refused_unless_allowed(source: DatasetListing, tmp_path: Path) -> None:
    """Three of 15 are few; eleven are not. The finished shards serve the second call."""

    def mostly_broken(item: ImageRecord) -> tuple[np.ndarray, str]:
        if item.name.startswith("train") and not item.name.startswith("train/a"):
            raise ValueError("broken")
        return READ(item)

    says = r"^prepare\.source: 11 of 15 images of train cannot be read \(train/a/0.jpg: .*allow_incomplete=true"
    with pytest.raises(UserError, match=says):
        make(source, tmp_path / "store", mostly_broken)
    assert make(source, tmp_path / "store", READ, allow_incomplete=True)["unreadable"] == 11


def test_unreadable_source_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle", "/copy/train")

    monkeypatch.setattr(pipeline, "read_source", stale)
    with pytest.raises(UserError, match=r"^prepare.source: .*Stale file handle: '/copy/train'"):
        pipeline.list_source(PrepareOptions(str(tmp_path / "store"), "x", source=str(tmp_path)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_full_temporary_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full behaves like a file on a full disk."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir=None: Path("/dev/full").open("wb"))  # noqa: SIM115
    with pytest.raises(UserError, match=rf"^{gettempdir()}: No space left.*TMPDIR"):
        DiskList([["a row"]])
    with lists_beside(tmp_path / "new/store"), pytest.raises(UserError, match=rf"^{tmp_path}: No space.*data\.root"):
        DiskList([["a row"]])


def test_list_that_cannot_lie_beside_the_store_lies_in_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a quota of files is used up."""
    whole, writable = tempfile.TemporaryFile, True

    def refuse(dir: Path | None = None) -> Any:
        if dir or not writable:
            raise OSError(errno.EDQUOT, "Disk quota exceeded", str(dir))
        return whole()

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with lists_beside(tmp_path / "store"):
        listing = DiskList([["a row"]])
        assert (list(listing), listing.folder) == ([["a row"]], None)
        writable = False
        with pytest.raises(UserError, match=r"^TMPDIR: cannot create a temporary file .*quota.*; set another folder"):
            DiskList([])


def test_temporary_folder_too_long_for_sockets_is_named(tmp_path: Path) -> None:
    """The path of a socket has about 100 characters."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    program = (
        "from pathlib import Path; from alexnet_pl.data.prepare.workers import WorkerPool; "
        "from photographs import PLAIN; WorkerPool(2, Path(), Path(), PLAIN, print).make([None], print)"
    )
    environment = os.environ | {"TMPDIR": str(long), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    says = f"UserError: TMPDIR: {long} is too long for the socket of worker processes; set a shorter TMPDIR, or"
    assert done.stderr.splitlines()[-1] == f"alexnet_pl.errors.{says} prepare.workers=1"


def test_missing_semaphores_are_named_and_a_single_worker_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are files in /dev/shm."""

    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(workers.MULTIPROCESSING, "Value", refuse)
    monkeypatch.setattr(workers.MULTIPROCESSING, "Event", refuse)
    with pytest.raises(UserError, match=r"^prepare.workers: no semaphores \(Read-only .*\): /dev/shm is missing"):
        workers.WorkerPool(2, Path(), Path(), PLAIN, lambda *_: None)
    assert workers.WorkerPool(1, Path(), Path(), PLAIN, lambda *_: None).images_done.value == 0


def test_iterators_of_a_disk_list_do_not_disturb_each_other() -> None:
    rows = [[number, "é" * number] for number in range(300)]
    listing = DiskList(rows)
    assert list(zip(listing, listing, strict=True)) == [(row, row) for row in rows]
    assert list(listing) == rows


def test_link_to_nothing_is_named_before_anything_is_prepared(tmp_path: Path) -> None:
    """An image of git-annex or DVC that was not fetched; once it is there, the store is made."""
    for number, split in enumerate(("train", "val")):
        draw(tmp_path / f"copy/{split}/a/0.jpg", number)
    link, target = tmp_path / "copy/train/a/1.jpg", tmp_path / "copy/annex/1.jpg"
    link.symlink_to("../../annex/1.jpg")
    says = rf"^prepare\.source: {link} is a link to \.\./\.\./annex/1\.jpg, which does not exist; get it, or remove"
    with pytest.raises(UserError, match=says):
        make(read_folders(tmp_path / "copy", {}), tmp_path / "store")
    assert beside(tmp_path / "store") == ["copy"]
    draw(target, 3)
    make(read_folders(tmp_path / "copy", {}), tmp_path / "store")
    assert len(Store(tmp_path / "store").split("train")) == 2


def test_sizes_of_images_are_part_of_the_plan(tmp_path: Path) -> None:
    """Compared with `stat` of each file; folders and missing files have none."""
    paths = [tmp_path / f"{number}.jpg" for number in range(1500)]
    for number, path in enumerate(paths[:-1]):
        path.write_bytes(bytes(number % 7))
    records = [("train", ImageRecord(path.name, 0, ByteLocation(path))) for path in [*paths, tmp_path]]
    sizes = [path.stat().st_size for path in paths[:-1]] + [None, None]
    assert list(with_sizes(iter(records))) == [(*pair, size) for pair, size in zip(records, sizes, strict=True)]
