"""Saving predictions during a test: whether probabilities are saved, and that a failed test leaves no file."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from alexnet_pl.data.loading.loaders import EvalLoader
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import Block, PredictionFileWriter
from alexnet_pl.evaluation.prediction_writer import (
    PredictionWriter,
    check_space_of_predictions,
    should_save_predictions,
)
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

TEST = TestDescription(dataset=DatasetInfo(name="tiny"), views="ten", checkpoint=CheckpointInfo(sha256="a" * 64))


def test_probabilities_are_saved_if_small_enough() -> None:
    """Those of the 2010 test set take 0.3 GB; half of Fall 2009 would take 90."""
    assert should_save_predictions("auto", 150_000, 1000)
    assert not should_save_predictions("auto", 4_450_000, 10_184)
    assert should_save_predictions(True, 4_450_000, 10_184)
    assert not should_save_predictions(False, 10, 10)


def test_probabilities_that_the_disk_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20e9))
    check_space_of_predictions(tmp_path / "results/val-ten", 150_000, 1000)
    said = r"^test.save_predictions: .* 20.0 GB free, 22.7 GB are needed; .* set test.save_predictions=false$"
    with pytest.raises(UserError, match=said):
        check_space_of_predictions(tmp_path / "results/val-ten", 4_450_000, 10_184)


def test_file_of_a_failed_test_is_removed(tmp_path: Path) -> None:
    store = SimpleNamespace(classes=[["a", "a"]] * 7, split=lambda _: None)
    callback = PredictionWriter(tmp_path / "p.parquet", store, TEST, with_probabilities=True)  # type: ignore[arg-type]
    callback.writer = PredictionFileWriter(tmp_path / "p.parquet", 7)
    callback.writer.add(Block(["a.jpg"], np.zeros(1), np.zeros((1, 5)), np.zeros((1, 7))))
    callback.writer.flush()
    assert list(tmp_path.iterdir())
    callback.on_exception(None, None, RuntimeError())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_names_are_read_with_the_batches(tmp_path: Path) -> None:
    """Each of eight processes kept all names, 0.8 GB for half of Fall 2009."""
    settings = StoreSettings("tiny", 8, {})
    prepare(synthetic.list_synthetic(10, 12), tmp_path / "store", settings, partial(synthetic.read_drawn, size=8))
    store = Store(tmp_path / "store")
    test = replace(TEST, dataset=DatasetInfo(name="tiny", split="val"))
    callback = PredictionWriter(tmp_path / "p.parquet", store, test, with_probabilities=True)
    callback.share, callback.shares = 1, 3
    trainer = SimpleNamespace(test_dataloaders=EvalLoader(store.split("val"), 2, torch.device("cpu"), 1, 3))
    callback.writer = PredictionFileWriter(tmp_path / "p.parquet", 10)
    for _ in range(2):
        batch = SimpleNamespace(labels=torch.zeros(2, dtype=torch.int64))
        callback.on_test_batch_end(trainer, None, torch.zeros(2, 10).log_softmax(1), batch)  # type: ignore[arg-type]
    callback.writer.close(test)
    assert "names" not in vars(store.split("val"))
    names = [json.loads(line) for line in (tmp_path / "store/val.names.jsonl").read_text().splitlines()]
    assert pq.read_table(tmp_path / "p.parquet").column("image").to_pylist() == names[1::3]
