"""`prepare` interrupted at any point resumes to the same store."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import PLAIN, READ, beside, fail, make

from alexnet_pl.data.prepare import shard
from alexnet_pl.data.prepare.finalize import remove_leftovers
from alexnet_pl.data.prepare.plan import Part
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError


def test_last_run_makes_missing_parts(source: DatasetListing, tmp_path: Path) -> None:
    wanted = make(source, tmp_path / "plain")
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 3))
    assert make(source, tmp_path / "store") == wanted


def crashing(item: ImageRecord) -> tuple[np.ndarray, str]:
    if item.name == "val/b/0.jpg":
        raise RuntimeError("a bug")
    return READ(item)


def killed(item: ImageRecord) -> tuple[np.ndarray, str]:
    """Kill the process, as the kernel does when it runs out of memory."""
    if item.name == "train/c/0.jpg":
        os.kill(os.getpid(), signal.SIGKILL)
    return READ(item)


def test_killed_worker_is_reported_and_finished_shards_are_kept(source: DatasetListing, tmp_path: Path) -> None:
    says = r"^prepare\.workers: a worker was killed; .* the same command resumes$"
    with pytest.raises(UserError, match=says):
        make(source, tmp_path / "store", killed, workers=2)
    assert beside(tmp_path / "store") == ["store.partial"]
    assert make(source, tmp_path / "store") == make(source, tmp_path / "undisturbed")


@pytest.mark.parametrize("workers", [1, 2])
def test_crashing_reader_leaves_no_store(source: DatasetListing, tmp_path: Path, workers: int) -> None:
    """The original error is raised. An unreadable image is a ValueError, not a crash."""
    with pytest.raises(RuntimeError, match="a bug"):
        make(source, tmp_path / "store", crashing, workers=workers)
    with pytest.raises(UserError, match="does not exist"):
        Store(tmp_path / "store")
    assert make(source, tmp_path / "store") == make(source, tmp_path / "undisturbed")


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


STEPS = [
    (shard, "write_shard"), (np, "savez"), (np, "save"), (Path, "write_text"), (os, "fsync"), (Path, "mkdir"),
    (Path, "rename"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "what"), STEPS, ids=[what for _, what in STEPS])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
def test_interrupted_run_leaves_no_store_and_can_be_repeated(
    source: DatasetListing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: object,
    what: str,
    error: BaseException,
) -> None:
    """A full disk is reported whichever write it interrupts, also in a thread. Just before the last step, everything is
    written under the temporary name."""
    told = (
        pytest.raises(UserError, match=r"data\.root: .*no space left") if error is FULL else pytest.raises(type(error))
    )
    with monkeypatch.context() as patch, told:
        patch.setattr(where, what, fail(error))
        make(source, tmp_path / "store")
    with pytest.raises(UserError, match="does not exist"):
        Store(tmp_path / "store")
    assert set(beside(tmp_path / "store")) <= {"store.partial"}
    assert make(source, tmp_path / "store") == make(source, tmp_path / "undisturbed")
    assert sorted(beside(tmp_path / "store")) == ["store", "undisturbed"]


@pytest.mark.parametrize(("kind", "finishes"), [(stat.S_IFDIR, True), (stat.S_IFREG, False)], ids=["folder", "file"])
def test_file_system_that_syncs_no_folders_gets_a_store(
    source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int, finishes: bool
) -> None:
    sync = os.fsync

    def refuse(handle: int) -> None:
        if stat.S_IFMT(os.fstat(handle).st_mode) == kind:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    with nullcontext() if finishes else pytest.raises(UserError, match="Invalid argument"):
        make(source, tmp_path / "store")
    assert (tmp_path / "store/store.json").is_file() == finishes


def test_finished_shards_are_not_repeated(
    source: DatasetListing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted in the fourth of five shards, `prepare` resumes there."""
    seen: list[str] = []

    def once(item: ImageRecord) -> tuple[np.ndarray, str]:
        seen.append(item.name)
        if len(seen) == 15:
            raise OSError(errno.ENOSPC, "full")
        return READ(item)

    with pytest.raises(UserError, match=r"no space left on the disk; 3 shards are finished; the same com"):
        make(source, tmp_path / "store", once, workers=1)
    first = len(seen)
    about = make(source, tmp_path / "store", once, workers=1)
    assert first == 15
    assert seen[first:] == [item.name for split in ("train", "val") for item in source.splits[split]][12:]
    assert "resuming: 12 of 18 images done" in capsys.readouterr().out
    assert about == make(source, tmp_path / "undisturbed")


@pytest.mark.parametrize("moment", ["train/a/0.jpg", "val/c/0.jpg"])
def test_second_of_two_equal_runs_returns_the_store_of_the_first(
    source: DatasetListing, tmp_path: Path, moment: str
) -> None:
    """The other process finishes as this one reads an image: the folder of the shards is moved."""
    ahead = make(source, tmp_path / "other")

    def overtaken(item: ImageRecord) -> tuple[np.ndarray, str]:
        if item.name == moment:
            (tmp_path / "other").rename(tmp_path / "store")
            shutil.rmtree(tmp_path / "store.partial")
        return READ(item)

    assert make(source, tmp_path / "store", overtaken) == ahead


def test_store_of_another_size_that_appears_meanwhile_is_no_success(source: DatasetListing, tmp_path: Path) -> None:
    def overtaken(item: ImageRecord) -> tuple[np.ndarray, str]:
        if item.name == "val/c/0.jpg":
            make(source, tmp_path / "other", name="other")
            (tmp_path / "other").rename(tmp_path / "store")
            shutil.rmtree(tmp_path / "store.partial")
        return READ(item)

    with pytest.raises(UserError, match=r"^data.root: \S+/store: No such file or directory; nothing is finished yet"):
        make(source, tmp_path / "store", overtaken)


@pytest.mark.parametrize("left", [0, 500])
def test_corrupt_metadata_of_a_shard_is_named(source: DatasetListing, tmp_path: Path, left: int) -> None:
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2))
    path = tmp_path / "store.partial/train-000002.u8.npz"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UserError, match=rf"^{path}: corrupt .*delete it and prepare again"):
        make(source, tmp_path / "store")
    path.unlink()
    assert make(source, tmp_path / "store") == make(source, tmp_path / "undisturbed")


KILLED = """
import os, random, signal, sys, time
from functools import partial
from pathlib import Path
from alexnet_pl.data.prepare.shard import read_square
from alexnet_pl.data.sources.image_folder import read_folders
from alexnet_pl.data.prepare.options import StoreSettings as Settings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.store.encoding import StoreEncoding as Encoding

copy, root, encoding = Path(sys.argv[1]), Path(sys.argv[2]), Encoding(sys.argv[3])

def child(root):
    pid = os.fork()
    if pid == 0:
        sys.stdout = open(os.devnull, "w")
        settings = Settings("x", 64, {}, encoding, shard=5, workers=1)
        prepare(read_folders(copy, {}), root, settings, partial(read_square, size=64, filter_name="bilinear"))
        os._exit(0)
    return pid

def lasts(name):
    began = time.monotonic()
    assert os.waitpid(child(root / name), 0)[1] == 0
    return time.monotonic() - began

whole = min(lasts("whole"), lasts("made-first"), lasts("made-second"))
random.seed(0)
killed = 0
for _ in range(20):
    pid = child(root / "cut")
    time.sleep(random.uniform(0, 0.8 * whole))
    os.kill(pid, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    if (root / "cut").exists():  # whole already: begin again, so that kills fall on every stage
        (root / "cut").rename(root / f"made-{len(os.listdir(root))}")
if not (root / "cut").exists():
    assert os.waitpid(child(root / "cut"), 0)[1] == 0
print(killed)
"""


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_store_after_twenty_kills_is_identical(copy: Path, tmp_path: Path, encoding: str) -> None:
    """kill -9 at random moments; each run resumes from the previous ones."""
    for number in range(8):
        shutil.copytree(copy / "train/a", tmp_path / f"copy/train/{number}")
        shutil.copytree(copy / "val/a", tmp_path / f"copy/val/{number}")
    words = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "copy"), str(tmp_path), encoding]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    whole, cut = Store(tmp_path / "whole"), Store(tmp_path / "cut")
    assert cut.manifest == whole.manifest
    assert list(find_corrupt(cut)) == []
    remove_leftovers(cut.root)  # as the next `prepare` does after a kill at the very end
    assert {path.name for path in cut.root.iterdir()} == {path.name for path in whole.root.iterdir()}
    assert {name.partition("-")[0] for name in beside(cut.root)} == {"copy", "cut", "whole", "made"}
    for made in tmp_path.glob("made-*"):
        assert Store(made).manifest == whole.manifest


@pytest.mark.slow
def test_workers_end_when_the_command_is_killed(tmp_path: Path) -> None:
    """Workers would wait for their next file forever. Their results are kept, and the next run resumes from them."""
    root, partial_root = tmp_path / "store", tmp_path / "store.partial"
    words = [sys.executable, "-m", "alexnet_pl", "prepare", "-c", "demo", "data.size=64", "prepare.images_per_shard=32"]
    words += ["prepare.workers=2", f"data.root={root}"]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=tmp_path)
    waited(lambda: len(list(partial_root.glob("train-*"))) >= 9)
    crew = descendants(killed.pid)
    assert len(crew) >= 3  # two workers, and the process that forks them
    killed.kill()
    killed.wait()
    waited(lambda: not any(Path(f"/proc/{each}").exists() for each in crew))
    assert list(partial_root.glob("train-*"))
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path, timeout=200)
    plain = [*words[:-2], "prepare.workers=1", f"data.root={tmp_path / 'plain'}"]
    subprocess.run(plain, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path, timeout=200)
    assert Store(root).manifest == Store(tmp_path / "plain").manifest
    assert sorted(path.name for path in root.iterdir()) == sorted(path.name for path in (tmp_path / "plain").iterdir())


def waited(done: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    found = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return found + [below for child in found for below in descendants(child)]


def test_kill_during_cleanup_is_recovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at every file. plan.json, by which the next `prepare` detects this, is removed last."""
    names = ["a.npz", "a.host-1.tmp", "plan.json", "plan-host-1.json", "plan.lock", "lock", "users", "store.json"]
    unlink = Path.unlink
    for kept in range(len(names)):
        for name in names:
            (tmp_path / name).write_text("")
        left = iter(range(kept))

        def remove_some(self: Path, missing_ok: bool = False, left: Any = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            unlink(self, missing_ok)

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(Path, "unlink", remove_some)
            remove_leftovers(tmp_path)
        if (tmp_path / "plan.json").exists():  # as `prepare` asks
            remove_leftovers(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["store.json"], kept
