"""ImageStore: which splits of a store each command reads."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import lightning as L
import numpy as np
import pytest
from lightning.pytorch.trainer.states import TrainerFn

from alexnet_pl.cache import CACHE
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import scenes, synthetic
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

URL = "memory://bucket/three"


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a store with `train`, `val`, and a `test` without labels."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    drawn = synthetic.list_synthetic(4, 2)
    splits: dict[str, Any] = {**drawn.splits, "test": [each._replace(label=-1) for each in drawn.splits["val"]]}
    settings = StoreSettings("tiny", 8, {}, workers=1)
    prepare(replace(drawn, splits=splits), tmp_path / "here", settings, partial(synthetic.read_drawn, size=8))
    files = fsspec.filesystem("memory")
    for path in (tmp_path / "here").iterdir():
        files.pipe_file(f"/bucket/three/{path.name}", path.read_bytes())
    yield URL
    files.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("stage", "options", "limit", "needed"),
    [
        (TrainerFn.FITTING, {}, 1.0, {"train", "val"}),
        (TrainerFn.FITTING, {}, 0, {"train"}),
        (TrainerFn.FITTING, {"include_val_after_epoch": 1}, 0, {"train", "val"}),
        (TrainerFn.VALIDATING, {}, 1.0, {"val"}),
        (TrainerFn.TESTING, {}, 1.0, {"val"}),
        (TrainerFn.TESTING, {"tested_split": "test"}, 1.0, {"test"}),
    ],
)
def test_only_the_splits_of_a_command_are_downloaded(
    remote: str, stage: TrainerFn, options: dict[str, Any], limit: float, needed: set[str]
) -> None:
    data = ImageStore(remote, "tiny", 8, **options)
    data.trainer = SimpleNamespace(state=SimpleNamespace(fn=stage), limit_val_batches=limit)  # type: ignore[assignment]
    data.prepare_data()
    assert {path.name.partition("-")[0] for path in data.store.root.glob("*.u8")} == needed


def test_fit_refuses_a_store_with_a_missing_validation_shard_before_it_trains(tmp_path: Path) -> None:
    """The first validation may be epochs away."""
    settings = StoreSettings("tiny", 8, {}, workers=1)
    prepare(synthetic.list_synthetic(4, 2), tmp_path, settings, partial(synthetic.read_drawn, size=8))
    (tmp_path / "val-000000.u8").unlink()
    with pytest.raises(UserError, match=r"val-000000\.u8"):
        ImageStore(str(tmp_path), "tiny", 8, batch_size=2).setup("fit")


def test_fit_without_validation_needs_no_validation_images(tmp_path: Path) -> None:
    settings = StoreSettings("tiny", 8, {}, workers=1)
    prepare(synthetic.list_synthetic(4, 2), tmp_path, settings, partial(synthetic.read_drawn, size=8))
    (tmp_path / "val-000000.u8").unlink()
    data = ImageStore(str(tmp_path), "tiny", 8, batch_size=2)
    data.trainer = L.Trainer(limit_val_batches=0, accelerator="cpu", logger=False, enable_checkpointing=False)
    data.setup("fit")


@pytest.mark.parametrize("objects", [(0, 1), (0, 0), (1, 1)])
def test_labels_are_known_as_for_the_opened_split(tmp_path: Path, objects: tuple[int, int]) -> None:
    """Of whole images, a split has those with a class, if any has one."""
    drawn = scenes.source(40, objects, train=9, val=9)
    settings = StoreSettings("scenes", 40, {}, StoreEncoding("whole"), workers=1)
    prepare(drawn, tmp_path / "store", settings, partial(scenes.read, size=40, objects=objects))
    store = Store(tmp_path / "store")
    assert store.is_labeled("val") == store.split("val").labeled == (objects != (0, 0))


def test_images_that_could_not_be_read_have_no_label(tmp_path: Path) -> None:
    def read(item: Any) -> tuple[np.ndarray, str]:
        if item.name == "val/000004":
            raise ValueError("broken on purpose")
        return synthetic.read_drawn(item, size=8)

    prepare(synthetic.list_synthetic(4, 2), tmp_path / "store", StoreSettings("tiny", 8, {}, workers=1), read)
    store = Store(tmp_path / "store")
    assert len(store.split("val")) == 1
    assert store.is_labeled("val")
