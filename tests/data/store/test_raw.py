"""Raw stores: two reader threads give the same batch as one; many shards can be open at once."""

import os
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from weakref import WeakSet

import numpy as np
import pytest

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store import file_limit, raw
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.file_limit import allow_open_files
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError


@pytest.mark.parametrize("shard", [8, 64])
def test_batch_has_the_requested_records_in_order(shard: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "TWO_THREADS_FROM", 0)
    prepare(
        synthetic.list_synthetic(20, 4),
        tmp_path / "store",
        StoreSettings("s", 32, {}, shard=shard),
        partial(synthetic.read_drawn, size=32),
    )
    files = sorted((tmp_path / "store").glob("train-*.u8"))
    records = np.concatenate([np.fromfile(path, np.uint8).reshape(-1, 3, 32, 32) for path in files])
    split = Store(tmp_path / "store").split("train")
    for indices in (np.array([7, 19, 0, 8, 8]), np.array([3]), np.arange(20)):
        out = split.buffer(len(indices)).numpy()
        split.read(indices, out)
        np.testing.assert_array_equal(out, records[indices])


@pytest.fixture
def few_files() -> Iterator[int]:
    """Soft limit of 32 more open files than there are now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = len(os.listdir("/dev/fd")) + 32
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_store_of_more_shards_than_the_limit_on_open_files(encoding: str, tmp_path: Path, few_files: int) -> None:
    """One file per shard stays open: /dev/fd lists them."""
    settings = StoreSettings("s", 8, {}, StoreEncoding(encoding), shard=1)
    prepare(synthetic.list_synthetic(60, 4), tmp_path / "store", settings, partial(synthetic.read_drawn, size=8))
    split = Store(tmp_path / "store").split("train")
    split.images(np.arange(60))
    assert len(os.listdir("/dev/fd")) > few_files


def test_too_low_hard_limit_on_open_files_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    monkeypatch.setattr(file_limit, "LATE", WeakSet())
    with pytest.raises(UserError, match=r"^/store/train-000000\.u8: one of 1,252 shards .* 1,024 .*ulimit -n"):
        allow_open_files(Path("/store/train-000000.u8"), 1252)
