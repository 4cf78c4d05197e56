"""Forked processes have none of the threads with which their parent has read a store."""

import multiprocessing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store import raw
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store

FORK = multiprocessing.get_context("fork")


@pytest.mark.parametrize("count", [2, 20])
@pytest.mark.parametrize("encoding", ["raw", "jpeg", "whole"])
def test_forked_process_reads_what_its_parent_has_read(
    encoding: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "TWO_THREADS_FROM", 0)
    settings = StoreSettings("s", 32, {}, StoreEncoding(encoding))
    prepare(synthetic.list_synthetic(20, 4), tmp_path / "store", settings, partial(synthetic.read_drawn, size=32))
    split = Store(tmp_path / "store").split("train")
    wanted, same = split.images(np.arange(20)).numpy(), FORK.Value("b", False)

    def read() -> None:
        same.value = np.array_equal(split.images(np.arange(count)).numpy(), wanted[:count])

    process = FORK.Process(target=read, daemon=True)
    process.start()
    process.join(60)
    process.kill()
    assert same.value
