"""Copies of 14 million images: what is opened, read and looked at does not grow with their number."""

import io
import os
import resource
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rich
from copies import folder_tgz, kaggle_tar, tar, write
from hosted_copies import shards
from photographs import READ, make

from alexnet_pl import progress
from alexnet_pl.data.archives.gzip import HEADERS
from alexnet_pl.data.archives.open_files import close_files
from alexnet_pl.data.archives.tar import list_members, whole_archive
from alexnet_pl.data.prepare import finalize, pipeline, plan
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.workers import WorkerPool
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.packed_rows import read_shard_rows
from alexnet_pl.data.store.file_limit import SPARE
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.progress import PER_UPDATE, counted


def test_store_that_this_process_could_not_open_is_refused_before_the_work(
    source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """18 images, at least 5 files: the advice of the message gives a store that can be opened with the same limit."""
    limit = len(os.listdir("/dev/fd")) + SPARE + 8
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    read: list[str] = []
    says = rf"^prepare\.images_per_shard=1: .* may open {limit}; use prepare\.images_per_shard=4, or .*ulimit -n"
    with pytest.raises(UserError, match=says):
        make(source, tmp_path / "store", lambda item: (read.append(item.name), READ(item))[1], shard=1, workers=1)
    assert not read
    make(source, tmp_path / "other", shard=4, workers=1)
    monkeypatch.setattr("alexnet_pl.data.store.file_limit.LATE", [])
    assert [len(Store(tmp_path / "other").split(name)) for name in ("train", "val")] == [12, 3]


def test_archive_of_samples_is_opened_once_for_their_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{i}{kind}": data for i in range(20) for kind, data in ((".jpg", b"image"), (".cls", str(i).encode()))}
    path = write(tmp_path, {"train-0000.tar": tar(files)}) / "train-0000.tar"
    opened: list[Path] = []
    whole = os.open
    monkeypatch.setattr(os, "open", lambda name, *rest, **more: (opened.append(name), whole(name, *rest, **more))[1])
    rows = list(read_shard_rows(path, {}))
    assert [(row.label, row.location.read()) for row in rows] == [(i, b"image") for i in range(20)]
    assert opened.count(path) == 1
    close_files()
    descriptors = len(os.listdir("/dev/fd"))
    assert rows[3].location.read() == b"image"
    assert len(os.listdir("/dev/fd")) == descriptors + 1
    close_files()
    assert len(os.listdir("/dev/fd")) == descriptors


def test_listing_skips_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS Python reads 1 MB for each header, since that is the file system's block."""
    path = write(tmp_path, {"a.tar": tar({"a.JPEG": b"content"})}) / "a.tar"
    buffers: list[int] = []
    whole = Path.open

    def recorded(self: Path, mode: str = "r", buffering: int = -1, **more: Any) -> Any:
        buffers.append(buffering)
        return whole(self, mode, buffering, **more)

    archive = whole_archive(path)
    monkeypatch.setattr(Path, "open", recorded)
    assert [member.name for member in list_members(archive)] == ["a.JPEG"]
    assert buffers == [HEADERS] == [8192]


def test_listed_images_are_counted_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    shown.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(rich, "_console", rich.console.Console(force_terminal=True, width=80))
    seen = []
    for item in counted(range(2 * PER_UPDATE + 1), "images listed"):
        seen.append(item)
        if item == 2 * PER_UPDATE:
            rich.get_console()._live_stack[-1].refresh()
    assert seen == list(range(2 * PER_UPDATE + 1))
    assert f"{2 * PER_UPDATE} images listed" in shown.getvalue()


def test_plan_counts_all_images(source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []

    class Counter:
        def __enter__(self) -> Any:
            return lambda: numbers.append(1)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(plan, "show_count", lambda _: Counter())
    make(source, tmp_path / "store", workers=1)
    assert len(numbers) == 18


@pytest.mark.parametrize("form", [shards, folder_tgz, kaggle_tar])
def test_lists_lie_beside_the_store(
    form: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TMPDIR is often in memory."""
    copy = form(tmp_path / "copy")
    (tmp_path / "stores").mkdir()
    folders: list[Path] = []
    whole = tempfile.TemporaryFile
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda *rest, dir=None: (folders.append(dir), whole(*rest, dir=dir))[1]
    )
    options = PrepareOptions(str(tmp_path / "stores/new/x"), "x", 8, source=str(copy), workers=1)
    pipeline.make_store(options)
    assert set(folders) == {tmp_path / "stores"}
    assert [path.name for path in (tmp_path / "stores/new").iterdir()] == ["x"]


class CountingLock:
    """Condition of a future that counts how often it is taken."""

    def __init__(self, taken: list[int]) -> None:
        self.own, self.taken = threading.Condition(), taken

    def acquire(self) -> bool:
        self.taken.append(1)
        return self.own.acquire()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.own.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)


def test_waiting_looks_at_no_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at each of 14,000, five times a second, took a sixth of a core."""
    taken: list[int] = []
    futures: list[Future[None]] = [Future() for _ in range(100)]
    for future in futures:
        future._condition = CountingLock(taken)  # type: ignore[assignment]
    seen: list[int] = []

    def progress() -> None:
        seen.append(len(taken))
        if len(seen) == 3:
            for future in futures:
                future.set_result(None)

    WorkerPool.wait_for(SimpleNamespace(stop=threading.Event()), futures, progress)  # type: ignore[arg-type]
    assert len(seen) == 4  # and once when all are done
    assert seen[2] == seen[0]


def test_waiting_ends_with_the_first_error() -> None:
    futures: list[Future[None]] = [Future() for _ in range(3)]
    pool = SimpleNamespace(stop=threading.Event())

    def progress() -> None:
        if not futures[1].done():
            futures[0].set_result(None)
            futures[1].set_exception(ValueError("a bug"))

    with pytest.raises(ValueError, match="a bug"):
        WorkerPool.wait_for(pool, futures, progress)  # type: ignore[arg-type]
    assert pool.stop.is_set()


def test_log_gets_lines_as_images_are_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0)
    make(synthetic.list_synthetic(20, 4), tmp_path / "store", partial(synthetic.read_drawn, size=8), workers=1)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("prepare: ")]
    assert lines[-1].startswith("prepare: 24 of 24, ")


def test_merging_shows_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked: dict[str, int] = {}

    def recorded(paths: list[Path], description: str, _: int) -> list[Path]:
        tracked[description] = len(paths)
        return paths

    monkeypatch.setattr(finalize, "track", recorded)
    make(synthetic.list_synthetic(20, 4), tmp_path / "store", partial(synthetic.read_drawn, size=8), shard=4, workers=1)
    assert tracked == {"merge train": 5, "merge val  ": 1}
