"""Remote stores, in fsspec's memory file system: same content as a local store."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import fsspec
import numpy as np
import pytest
from processes import run_processes
from running import Compose

from alexnet_pl.cache import CACHE
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store import integrity, remote
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from tests.conftest import call

URL = "memory://bucket/store"


@pytest.fixture(params=["raw", "jpeg"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store in a folder, with a copy at URL."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    settings = StoreSettings("tiny", 72, {}, StoreEncoding(request.param), shard=16)
    prepare(synthetic.list_synthetic(96, 40), tmp_path / "here", settings, partial(synthetic.read_drawn, size=72))
    files = fsspec.filesystem("memory")
    for path in (tmp_path / "here").iterdir():
        files.pipe_file(f"/bucket/store/{path.name}", path.read_bytes())
    yield tmp_path / "here"
    files.rm("/bucket", recursive=True)


def pixels(store: Store, split: str) -> np.ndarray:
    part = store.split(split)
    room = part.buffer(len(part))
    part.read(np.arange(len(part)), room.numpy())
    return room.numpy()


def fetched(store: Store) -> Path:
    """The cache, with all shards."""
    for split in store.splits:
        store.fetch(split)
    return store.root


def test_remote_store_reads_like_a_local_one(here: Path) -> None:
    there = Store(URL)
    assert there.manifest == Store(here).manifest
    assert not list(there.root.glob("train-*"))  # only requested files are downloaded
    for split in ("train", "val"):
        assert np.array_equal(pixels(there, split), pixels(Store(here), split))
        assert there.split(split).names == Store(here).split(split).names
    assert np.array_equal(there.mean, Store(here).mean)


def test_files_are_downloaded_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels(Store(URL), "train")
    fetched: list[str] = []
    monkeypatch.setattr(remote.Mirror, "fetch_one", lambda self, name, wanted: fetched.append(name))
    pixels(Store(URL), "train")
    assert fetched == []


@pytest.mark.usefixtures("here")
def test_store_json_is_written_once() -> None:
    """Another machine that reads it over NFS would get ESTALE if the file were replaced."""
    path = Store(URL).root / "store.json"
    first = path.stat().st_ino
    assert (Store(URL).root / "store.json").stat().st_ino == first
    wanted = path.read_bytes()
    path.write_bytes(b"{")
    Store(URL)
    assert path.read_bytes() == wanted


def test_overwritten_shard_in_the_cache_is_downloaded_again(here: Path) -> None:
    root = fetched(Store(URL))
    for shard in (next(root.glob("val-000001.*")), next(root.glob("train-000000.*"))):
        shard.write_bytes(bytes(shard.stat().st_size))
    assert np.array_equal(pixels(Store(URL), "val"), pixels(Store(here), "val"))
    assert np.array_equal(pixels(Store(URL), "train"), pixels(Store(here), "train"))


@pytest.mark.usefixtures("here")
def test_cached_shards_are_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched(Store(URL))
    monkeypatch.setattr(integrity, "checksum", None)
    fetched(Store(URL))


def test_cache_belongs_to_the_user_alone(here: Path, tmp_path: Path) -> None:
    assert [Store(URL).root.stat().st_mode & 0o777, (tmp_path / "cache").stat().st_mode & 0o777] == [0o700, 0o700]
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(UserError, match=rf"^{CACHE}: other users may write to {tmp_path}/cache; choose another folder"):
        Store(URL)


@pytest.mark.parametrize("manifest", [b"[" * 200_000, b"[]", b"{}", b"\xff"])
def test_address_without_a_manifest_is_named(manifest: bytes) -> None:
    fsspec.filesystem("memory").pipe_file("/other/store.json", manifest)
    with pytest.raises(UserError, match=r"^data\.root: memory://other/store\.json: not the manifest of a store"):
        Store("memory://other")


def open_and_note(folder: Path) -> None:
    """In one of several processes: open the store at file://FOLDER/there, and record the downloads."""
    os.environ[CACHE] = str(folder / "cache")
    original = remote.Mirror.fetch_one

    def noting(self: remote.Mirror, name: str, expected: str | None) -> None:
        with (folder / f"fetched-{os.getpid()}.txt").open("a") as file:
            file.write(f"{name}\n")
        original(self, name, expected)

    remote.Mirror.fetch_one = noting  # type: ignore[method-assign]
    assert len(Store(f"file://{folder}/there").split("train")) == 96


def test_one_of_several_processes_downloads(here: Path, tmp_path: Path) -> None:
    """Processes of one machine, or of several machines whose cache is on NFS."""
    shutil.copytree(here, tmp_path / "there")
    run_processes(3, open_and_note, tmp_path)
    fetched = [name for path in tmp_path.glob("fetched-*.txt") for name in path.read_text().splitlines()]
    assert len(fetched) == len(set(fetched))
    assert {name for name in fetched if name.startswith("train-")} == {path.name for path in here.glob("train-*")}


def test_changed_remote_store_gets_its_own_cache(here: Path, tmp_path: Path) -> None:
    before = Store(URL).root
    prepare(
        synthetic.list_synthetic(96, 40),
        tmp_path / "new",
        StoreSettings("other", 72, {}),
        partial(synthetic.read_drawn, size=72),
    )
    files = fsspec.filesystem("memory")
    for path in (tmp_path / "new").iterdir():
        files.pipe_file(f"/bucket/store/{path.name}", path.read_bytes())
    assert Store(URL).name == "other"
    assert Store(URL).root != before
    assert len(pixels(Store(URL), "val")) == 40


def test_corrupt_download_and_missing_file_are_reported_and_not_cached(here: Path) -> None:
    files, (name,) = fsspec.filesystem("memory"), [path.name for path in here.glob("val-000001.*")]
    data = files.cat_file(f"/bucket/store/{name}")
    files.pipe_file(f"/bucket/store/{name}", data[:-1] + b"?")
    with pytest.raises(UserError, match=rf"{URL}/{name}: checksum mismatch after download"):
        Store(URL).split("val")
    files.rm(f"/bucket/store/{name}")
    with pytest.raises(UserError, match=rf"{URL}/{name}: cannot be downloaded"):
        Store(URL).split("val")
    assert not (Store(URL).root / name).exists()
    assert not list(Store(URL).root.glob("*.tmp"))
    files.pipe_file(f"/bucket/store/{name}", data)
    assert len(Store(URL).split("val")) == 40


@pytest.mark.parametrize("name", ["train.labels.npy", "val.names.jsonl", "mean.npy", "odd.json"])
@pytest.mark.parametrize("command", ["open", "verify"])
def test_corrupt_small_file_in_the_cache_is_downloaded_again(name: str, command: str, here: Path) -> None:
    cached = Store(URL).root / name
    cached.write_bytes(cached.read_bytes()[:-1] + b"?")
    if command == "open":
        Store(URL)
    else:
        assert not list(find_corrupt(Store(URL, check=False)))
    assert cached.read_bytes() == (here / name).read_bytes()


def test_remote_store_whose_small_file_is_corrupt_is_named(here: Path) -> None:
    cached = Store(URL).root / "mean.npy"
    cached.write_bytes(b"?")
    fsspec.filesystem("memory").pipe_file("/bucket/store/mean.npy", b"?")
    with pytest.raises(UserError, match=rf"^data.root: {URL}/mean.npy: checksum mismatch after download"):
        Store(URL)


@pytest.mark.usefixtures("here")
def test_changed_remote_store_json_is_named() -> None:
    files = fsspec.filesystem("memory")
    about = files.cat_file("/bucket/store/store.json")
    files.pipe_file("/bucket/store/store.json", about.replace(b'"tiny"', b'"huge"'))
    with pytest.raises(UserError, match=rf"^data.root: {URL}: checksum mismatch after download: store.json or a file"):
        Store(URL)


@pytest.mark.usefixtures("here")
def test_corrupt_files_in_the_cache_are_replaced_and_not_removed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes may open them, and one that finds another's download must not remove it."""
    store = Store(URL)
    names = ["mean.npy", "train.labels.npy", next(path.name for path in fetched(store).glob("val-000001.*"))]
    for name in names:
        (store.root / name).write_bytes(b"?")
    there: dict[str, bool] = {}
    original = remote.Mirror.fetch_one

    def noting(self: remote.Mirror, name: str, expected: str | None) -> None:
        there[name] = (self.root / name).is_file()
        original(self, name, expected)

    monkeypatch.setattr(remote.Mirror, "fetch_one", noting)
    assert not list(find_corrupt(store))
    assert there == dict.fromkeys(names, True)


@pytest.mark.usefixtures("here")
def test_file_that_another_process_has_replaced_is_not_downloaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(URL)
    cached = store.root / "mean.npy"
    content = cached.read_bytes()
    cached.write_bytes(b"?")

    @contextmanager
    def waiting(path: Path) -> Iterator[None]:
        cached.write_bytes(content)
        yield

    monkeypatch.setattr(remote, "exclusive_lock", waiting)
    monkeypatch.setattr(remote.Mirror, "fetch_one", None)
    assert store.find_corrupt_small() == []


@pytest.mark.parametrize("url", ["memory://nowhere", "nosuch://x"])
def test_unreadable_url_is_reported(url: str) -> None:
    with pytest.raises(UserError, match=rf"^data.root: {url}: cannot be read \("):
        Store(url)


@pytest.mark.usefixtures("here")
def test_insufficient_disk_space_is_reported_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(UserError, match=rf"{URL}: .* GB free, .* GB are needed; choose another folder: {CACHE}="):
        Store(URL).split("train")
    assert not list(Store(URL).root.glob("train-*"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["store.json", "mean.npy", "train-000000"])
def test_download_of_a_wrong_file_stops_before_it_fills_the_disk(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may send without an end, and without a length."""
    monkeypatch.setattr(remote.Mirror, "largest", 10**6)
    monkeypatch.setattr(remote.SizeLimit, "set_size", lambda *_: None)
    files = fsspec.filesystem("memory")
    (path,) = files.glob(f"/bucket/store/{name}*")
    files.pipe_file(path, bytes(10**8))
    with pytest.raises(UserError, match=rf"^data.root: {URL}.*more than \d+ MB, too large for a file of this store\)$"):
        Store(URL).split("train")
    assert max((found.stat().st_size for found in (tmp_path / "cache").rglob("*")), default=0) < 10**7


def test_file_of_hugging_face_is_downloaded_in_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HfFileSystem reads it in ranges for callbacks of other kinds."""
    hub = pytest.importorskip("huggingface_hub.hf_file_system")
    requests: list[str] = []

    def send(url: str, temp_file: BinaryIO, **_: object) -> None:
        requests.append(url)
        temp_file.write(b"abc")

    path = SimpleNamespace(path="a", unresolve=lambda: "datasets/u/r/a")
    monkeypatch.setattr(hub.HfFileSystem, "resolve_path", lambda *_, **__: path)
    monkeypatch.setattr(hub.HfFileSystem, "info", lambda *_, **__: {"size": 3, "type": "file"})
    monkeypatch.setattr(hub.HfFileSystem, "url", lambda *_: "https://a")
    monkeypatch.setattr(hub.HfFileSystem, "open", lambda *_, **__: pytest.fail("reads ranges"))
    monkeypatch.setattr(hub, "http_get", send)
    limit = remote.SizeLimit(5)
    hub.HfFileSystem(token=False).get_file("datasets/u/r/a", str(tmp_path / "a"), callback=limit)
    assert requests == ["https://a"]
    assert (tmp_path / "a").read_bytes() == b"abc"
    assert limit.size == 3, "the size was checked before the request"


def test_bytes_of_a_repeated_download_are_counted_once() -> None:
    limit = remote.SizeLimit(10)
    for _ in range(2):
        limit.set_size(8)
        for _ in range(2):
            limit.relative_update(4)
    with pytest.raises(ValueError, match="too large"):
        limit.relative_update(4)
    with pytest.raises(ValueError, match="too large"):
        remote.SizeLimit(10).absolute_update(11)
    with pytest.raises(ValueError, match="too large"):
        remote.SizeLimit(10).set_size(11)


def test_fit_and_verify_accept_a_url_and_prepare_refuses_it(
    config: Compose, tiny: list[str], here: Path, tmp_path: Path
) -> None:
    cfg = config("imagenette", *tiny, f"data.root={URL}", "trainer.max_epochs=1", "+trainer.limit_train_batches=2")
    cfg.command = "fit"
    call("fit", cfg, tmp_path / "run")
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()
    call("verify", cfg, tmp_path)
    with pytest.raises(UserError, match=r"prepare the store in a local folder, then copy it there"):
        call("prepare", cfg, tmp_path)
