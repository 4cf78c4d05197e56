"""Shards are verified before a measurement, each version of a file once."""

import os
from functools import partial
from pathlib import Path

import pytest

from alexnet_pl.cache import CACHE
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store import integrity, verified
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with shards of 16 images."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    settings = StoreSettings("tiny", 16, {}, shard=16)
    prepare(synthetic.list_synthetic(8, 40), tmp_path / "store", settings, partial(synthetic.read_drawn, size=16))
    return tmp_path / "store"


def overwrite(shard: Path) -> None:
    """Replace a byte in place, with the modification time kept."""
    about = shard.stat()
    with shard.open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(shard, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_overwritten_shard_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    Store(root).check_shards("val")
    assert capsys.readouterr() == ("", "")
    overwrite(root / "val-000001.u8")
    Store(root).check_shards("train")
    for _ in range(2):
        with pytest.raises(UserError, match=rf"^{root / 'val-000001.u8'}: corrupt; `verify` .* prepare\.repair=true"):
            Store(root).check_shards("val")


def test_shards_are_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = integrity.checksum
    monkeypatch.setattr(integrity, "checksum", lambda path: (read.append(path.name), original(path))[1])
    for _ in range(2):
        Store(root).check_shards("val")
    assert sorted(read) == ["val-000000.u8", "val-000001.u8", "val-000002.u8"]
    (root / "val-000002.u8").touch()
    Store(root).check_shards("val")
    assert read[3:] == ["val-000002.u8"]


@pytest.mark.parametrize("content", ["[1]", "[" * 200_000, '{"val-000001.u8": null}', "\x00"])
def test_damaged_record_is_ignored(root: Path, content: str) -> None:
    Store(root).check_shards("val")
    (record,) = (root.parent / "cache/verified").iterdir()
    record.write_text(content)
    overwrite(root / "val-000001.u8")
    with pytest.raises(UserError, match=r"val-000001\.u8: corrupt"):
        Store(root).check_shards("val")


@pytest.mark.parametrize("place", ["/dev/null/cache", "open to all"])
def test_shards_are_verified_without_a_cache(
    root: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "open to all":
        place = str(tmp_path / "all")
        (tmp_path / "all").mkdir()
        (tmp_path / "all").chmod(0o777)
    monkeypatch.setenv(CACHE, place)
    Store(root).check_shards("val")
    overwrite(root / "val-000001.u8")
    with pytest.raises(UserError, match=r"val-000001\.u8: corrupt"):
        Store(root).check_shards("val")


def test_other_processes_read_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite(root / "val-000001.u8")
    monkeypatch.setenv("RANK", "1")
    Store(root).check_shards("val")


def test_interrupted_verification_continues(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was verified more than `INTERVAL` before the interruption is not read again."""
    monkeypatch.setattr(verified, "INTERVAL", 0)
    original = integrity.checksum
    with monkeypatch.context() as patch:
        patch.setattr(integrity, "checksum", lambda path: original(path) if path.name < "val-000002" else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Store(root).check_shards("val")
    read: list[str] = []
    monkeypatch.setattr(integrity, "checksum", lambda path: (read.append(path.name), original(path))[1])
    Store(root).check_shards("val")
    assert read == ["val-000002.u8"]
