"""Fixture of GPU tests: a store of JPEGs to decode."""

from functools import partial
from pathlib import Path

import pytest

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.encoding import StoreEncoding


@pytest.fixture(scope="session")
def jpeg_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stores") / "jpeg"
    settings = StoreSettings("jpeg", 72, {}, StoreEncoding("jpeg"))
    prepare(synthetic.list_synthetic(8, 8), root, settings, partial(synthetic.read_drawn, size=72))
    return root
