"""Raw stores: two reader threads give the same batch as one."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store import raw
from alexnet_pl.data.store.store import Store


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
