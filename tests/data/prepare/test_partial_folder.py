"""The folder of an unfinished store: locks, listings, and the plan that a run must share to resume."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from photographs import PLAIN, READ, beside, make

from alexnet_pl.data.prepare.partial_folder import build_plan, is_sole_holder, remove_listings, shared_lock
from alexnet_pl.data.prepare.plan import Part
from alexnet_pl.data.prepare.repair import repair
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError


def test_listings_of_killed_runs_are_deleted(source: DatasetListing, tmp_path: Path) -> None:
    """Also from a finished store, where a killed repair left one; not those of running processes, whose numbers say
    nothing in a container, of other machines, or of earlier versions without a lock."""
    here, root, number = socket.gethostname(), tmp_path / "store", 2**22 + 1  # of no process of this container
    hosts = (f"a.{here}", f"b.{here}", "c.x", f"d.{here}")
    killed, used, foreign, older = (f"listing-{host}-{number}" for host in hosts)
    for name in (killed, used, foreign, older):
        (tmp_path / "store.partial" / name).mkdir(parents=True)
    for name in (killed, used, foreign):
        (tmp_path / "store.partial" / name / "lock").touch()
    with (tmp_path / "store.partial" / used / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        prepare(source, root, PLAIN, READ, Part(1, 2))
    assert {path.name for path in root.with_name("store.partial").glob("*listing-*")} == {used, foreign, older}
    make(source, root)
    write_lock(root / killed)
    assert repair(Store(root), source, PLAIN, READ) == []
    assert not list(root.glob("*listing-*"))


def write_lock(listing: Path) -> None:
    listing.mkdir()
    (listing / "lock").touch()


def test_listing_is_locked_while_its_plan_is_in_use(source: DatasetListing, tmp_path: Path) -> None:
    with build_plan(source, tmp_path, PLAIN) as plan:
        remove_listings(tmp_path)
        assert plan.folder.is_dir()
        assert plan.folder.name.startswith("listing-")
    assert not beside(tmp_path / "any")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "four"}, "started with other name"),
        ({"how": {}}, "started with other how"),
        ({"shard": 5}, "started with other shard"),
        ({"encoding": StoreEncoding("jpeg")}, "started with other encoding"),
    ],
)
def test_store_started_with_other_settings_is_not_resumed(
    source: DatasetListing, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2))
    with pytest.raises(UserError, match=rf"^data.root: .*store.partial was {says}; resume with the same, or delete it"):
        make(source, tmp_path / "store", **changes)
    make(source, tmp_path / "store")


def test_first_of_two_concurrent_runs_decides_the_settings(source: DatasetListing, tmp_path: Path) -> None:
    partial = tmp_path / "store.partial"
    partial.mkdir()
    (partial / "plan.json").write_text('{"size": 5}\n')
    with shared_lock(partial), pytest.raises(UserError, match=r"store.partial was started with other"):
        make(source, tmp_path / "store")
    make(source, tmp_path / "store")  # the other run ended without writing anything
    assert Store(tmp_path / "store").size == PLAIN.size
    assert not list((tmp_path / "store").glob("users")) + list((tmp_path / "store").glob("*lock"))


def test_store_started_from_other_images_is_not_resumed(source: DatasetListing, tmp_path: Path) -> None:
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2))
    val = list(source.splits["val"])
    other = DatasetListing(
        source.classes, {"train": source.splits["train"], "val": [*val[:-1], val[-1]._replace(label=0)]}
    )
    with pytest.raises(UserError, match=r"was started with other images"):
        make(other, tmp_path / "store")


def test_plan_cut_off_by_a_power_failure(source: DatasetListing, tmp_path: Path) -> None:
    """It is written again if nothing was made by it."""
    partial = tmp_path / "store.partial"
    partial.mkdir()
    (partial / "plan.json").write_text("")
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2))
    (partial / "plan.json").write_text("")
    with pytest.raises(UserError, match=r"^data.root: .*store.partial holds a corrupt plan.json; delete the folder"):
        make(source, tmp_path / "store")


def without_locks(file: IO[str], kind: int) -> None:
    raise OSError(errno.ENOLCK, "no locks available")


def as_nfs_locks(file: IO[str], kind: int) -> None:
    """NFS emulates flock by locks on bytes, which need a file open for reading, or for writing (man 2 flock)."""
    mode = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE
    if mode == (os.O_WRONLY if kind & fcntl.LOCK_SH else os.O_RDONLY):
        raise OSError(errno.EBADF, "bad file descriptor")


@pytest.mark.parametrize("lock", [without_locks, as_nfs_locks])
def test_file_systems_of_few_locks(
    source: DatasetListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Callable[[IO[str], int], None]
) -> None:
    monkeypatch.setattr(fcntl, "flock", lock)
    assert prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2)) is None
    make(source, tmp_path / "store")
    assert len(Store(tmp_path / "store").split("train")) == 12


def test_part_that_is_not_alone_still_shows_others_that_it_is_there(tmp_path: Path) -> None:
    with shared_lock(tmp_path) as file:
        with shared_lock(tmp_path):
            assert not is_sole_holder(file)
        with shared_lock(tmp_path) as later:
            assert not is_sole_holder(later)
        assert is_sole_holder(file)


def test_kill_during_plan_writing_is_recovered(source: DatasetListing, tmp_path: Path) -> None:
    partial = tmp_path / "store.partial"
    partial.mkdir()
    for name in ("plan.json.host-1.tmp", "plan-host-1.json.tmp"):  # the second of an earlier version
        (partial / name).write_text("{")
    assert make(source, tmp_path / "store") == make(source, tmp_path / "undisturbed")
