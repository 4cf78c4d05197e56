"""A copy in a bucket gives the same store as in a folder; fsspec's memory file system stands in for the bucket."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from copies import archives, kaggle_zip, store, tree
from copy_forms import FORMS
from fsspec.implementations.memory import MemoryFile
from hosted_copies import parquet

from alexnet_pl.data.archives import parquet as parquet_files
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.open_files import THREAD_STATE
from alexnet_pl.data.archives.remote import open_source
from alexnet_pl.data.archives.tar import list_members
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import list_source, make_store
from alexnet_pl.data.prepare.shard import decode_record
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

pytest.importorskip("upath", reason="universal-pathlib (extra `remote`)")


@pytest.fixture
def bucket() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/bucket", recursive=True)
    for opened in (THREAD_STATE, parquet_files.THREAD_STATE):  # of archives whose names the next test reuses
        vars(opened).clear()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_listed_and_read_in_place(form: Callable[[Path], Path], bucket: Any, tmp_path: Path) -> None:
    here = form(tmp_path / "copy")
    bucket.put(f"{tmp_path}/copy/", "/bucket/copy/", recursive=True)
    there = open_source(f"memory://bucket/{here.relative_to(tmp_path).as_posix()}", "prepare.source")
    (_, one), (_, other) = read_source(here), read_source(there)
    assert one.classes == other.classes
    for (split, a), (there_split, b) in zip(one.items(), other.items(), strict=True):
        assert (split, a.name, a.label) == (there_split, b.name, b.label)
        assert a.location.read() == b.location.read()


@pytest.mark.parametrize("form", [archives, tree])
def test_store_from_a_bucket_is_bit_identical(form: Callable[[Path], Path], bucket: Any, tmp_path: Path) -> None:
    here = form(tmp_path / "copy")
    bucket.put(f"{here}/", "/bucket/copy/", recursive=True)
    options = PrepareOptions(str(tmp_path / "there"), "x", 16, source="memory://bucket/copy")
    made = make_store(options)
    assert made is not None
    assert made["splits"] == store(here, tmp_path / "here").description["splits"]  # includes checksums
    assert Store(tmp_path / "there").manifest.ilsvrc_ids == [2, 1, 3]


def test_archive_members_are_read_in_few_requests(bucket: Any, tmp_path: Path, monkeypatch: Any) -> None:
    bucket.put(f"{archives(tmp_path / 'copy')}/", "/bucket/copy/", recursive=True)
    options = PrepareOptions(str(tmp_path / "store"), "x", 16, source="memory://bucket/copy")
    records = [record for _, record in list_source(options)[1].items()]
    opened: list[str] = []
    original = type(bucket).open

    def noting(self: Any, path: str, *args: Any, **keys: Any) -> Any:
        opened.append(path)
        return original(self, path, *args, **keys)

    monkeypatch.setattr(type(bucket), "open", noting)
    assert all(len(record.location.read()) == record.location.size for record in records)
    assert len(records) == 14
    assert len(opened) == 3  # the archives of train, val and test


def test_archive_that_changes_while_read_is_refused(bucket: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from alexnet_pl.data.prepare import run

    bucket.put(f"{archives(tmp_path / 'copy')}/", "/bucket/copy/", recursive=True)
    name = "/bucket/copy/ILSVRC2012_img_val.tar"
    monkeypatch.setattr(run, "make_shards", lambda *_: bucket.pipe_file(name, bucket.cat_file(name)))
    with pytest.raises(
        UserError, match=r"^prepare\.source: memory://bucket/copy/ILSVRC2012_img_val\.tar changed while"
    ):
        make_store(PrepareOptions(str(tmp_path / "store"), "x", 16, source="memory://bucket/copy"))


def test_error_of_the_client_names_the_file(bucket: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """aiohttp's ClientPayloadError and botocore's errors are no OSErrors."""
    bucket.put(f"{archives(tmp_path / 'copy')}/", "/bucket/copy/", recursive=True)
    record = next(iter(list_source(PrepareOptions("x", "x", source="memory://bucket/copy"))[1].splits["train"]))

    def disconnect(*_: Any) -> bytes:
        raise RuntimeError("Response payload is not completed")

    monkeypatch.setattr(MemoryFile, "read", disconnect)
    with pytest.raises(UserError, match=rf"^prepare\.source: {record.name} can no longer be read \(Response payload"):
        decode_record(record)
    with pytest.raises(
        UserError, match=r"^prepare\.source: memory://.*train\.tar: corrupt or incomplete .*\(Response pay"
    ):
        list(list_members(ByteLocation(record.location.path)))


@pytest.mark.parametrize("form", ["parquet", "tar", "zip"])
@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_error_of_the_client_is_no_corrupt_image(
    form: str, kind: type[Exception], bucket: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """fsspec raises a ValueError for a file that is closed; it must not leave out the image."""
    here = {"parquet": parquet, "tar": archives, "zip": kaggle_zip}[form](tmp_path / "copy")
    bucket.put(f"{here}/", "/bucket/copy/", recursive=True)
    record = next(iter(list_source(PrepareOptions("x", "x", source="memory://bucket/copy"))[1].splits["train"]))
    vars(parquet_files.THREAD_STATE).clear()  # which holds the row group of the first image

    def disconnect(*_: Any) -> bytes:
        raise kind("Response payload is not completed")

    monkeypatch.setattr(MemoryFile, "read", disconnect)
    with pytest.raises((UserError, OSError), match="Response payload"):
        record.location.read()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("memory://bucket/away", r"does not exist"),
        ("s4://bucket/copy", r"cannot be read \(only s3://, "),
        ("simplecache::s3://bucket/copy", r"cannot be read \(only s3://, "),
    ],
)
def test_unreadable_address_is_named(place: str, says: str) -> None:
    with pytest.raises(UserError, match=rf"^prepare\.source: {place}: {says}"):
        open_source(place, "prepare.source")
