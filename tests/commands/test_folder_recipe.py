"""Recipe `folder` on thirty images: any folder name, no split, classes of the store, fewer images than a batch."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from running import run

from alexnet_pl import load
from alexnet_pl.commands.prepare import prepare
from alexnet_pl.config.overrides import quote_value
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.loading.augment import Draws
from alexnet_pl.data.loading.loaders import TrainLoader
from alexnet_pl.data.store.store import Store
from alexnet_pl.experiment import predict
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.runs.checkpoint_metadata import resizing_filter

SMALL = ["data.size=72", "augment.crop=67", "+model.width=0.1", "trainer.max_epochs=2", "trainer.log_every_n_steps=1"]
CPU = ["logger=csv", "performance.compile=false", "trainer.accelerator=cpu", "trainer.precision=32-true"]
ANIMALS = ("cat", "dog", "hedgehog")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "My photos (2024)"
    chance = np.random.default_rng(0)
    for name in ANIMALS:
        (folder / name).mkdir(parents=True)
        for i in range(10):
            pixels = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((100, 80)).save(folder / name / f"{i}.jpg")
    return folder


def test_fit_test_and_predict_on_thirty_images(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "My photos' store", tmp_path / "run"
    words = [f"data.root={quote_value(str(root))}", f"prepare.source={quote_value(str(photos))}", *SMALL, *CPU]
    prepare(compose("folder", words), tmp_path)
    store = Store(root)
    assert store.name == "My photos' store"
    assert [name for _, name in store.classes] == list(ANIMALS)
    train, val = len(store.split("train")), len(store.split("val"))
    assert (train + val, 0 < val < 15) == (30, True)
    (out / ".hydra").mkdir(parents=True)
    cfg = compose("folder", words)
    OmegaConf.save(cfg, out / ".hydra/config.yaml")
    run(cfg, "fit", out)
    assert f"data.batch_size=32: {train} training images; a batch repeats some" in capsys.readouterr().out
    last = out / "checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2, "a step an epoch"
    again = compose(str(out), [])
    assert again.data.name == store.name
    run(again, "test", out, last)
    assert load(out).classes == list(ANIMALS)
    again.predict.images = str(photos / "cat")
    run(again, "predict", out, last)
    assert len((out / "predictions.csv").read_text().splitlines()) == 1 + 10 * 3


def test_batch_larger_than_the_split_repeats_images() -> None:
    class Numbers:
        """A split in which image i has the value i."""

        constant, is_jpeg, labels, shape = False, False, np.arange(5), (3, 2, 2)

        def __len__(self) -> int:
            return 5

        def buffer(self, count: int, **_: object) -> torch.Tensor:
            return torch.zeros(count, *self.shape, dtype=torch.uint8)

        def read(self, indices: np.ndarray, out: np.ndarray) -> None:
            out[: len(indices)] = indices[:, None, None, None]

        def prefetch(self, indices: np.ndarray) -> None: ...

    def draw(_seed: int, _epoch: int, _batch: int, count: int) -> Draws:
        return Draws(
            torch.zeros(count, 2, dtype=torch.int64), torch.zeros(count, dtype=torch.bool), torch.zeros(count, 3)
        )

    loader = TrainLoader(Numbers(), 12, 0, draw, torch.device("cpu"))  # type: ignore[arg-type]
    orders = []
    for _ in range(2):
        (batch,) = list(loader)
        assert sorted(np.bincount(batch.labels.numpy(), minlength=5)) == [2, 2, 2, 3, 3]
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.labels)
        orders.append(batch.labels.tolist())
    assert orders[0] != orders[1], "another order each epoch"


def test_images_are_resized_with_the_filter_of_the_training_images(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter was given to `prepare` alone."""
    out, filters = tmp_path / "run", []
    words = [f"data.root={tmp_path / 'store'}", f"prepare.source={quote_value(str(photos))}", *SMALL, *CPU]
    prepare(compose("folder", [*words, "prepare.filter=bicubic"]), tmp_path)
    (out / ".hydra").mkdir(parents=True)
    cfg = compose("folder", words)
    OmegaConf.save(cfg, out / ".hydra/config.yaml")
    run(cfg, "fit", out)
    last = out / "checkpoints/last.ckpt"

    def recorded(image: torch.Tensor, size: int, filter_name: str) -> torch.Tensor:
        filters.append(filter_name)
        return torch.zeros(3, size, size, dtype=torch.uint8)

    monkeypatch.setattr(predict, "resize_center_crop", recorded)
    again = compose(str(out), [f"predict.images={quote_value(str(photos / 'cat/0.jpg'))}"])
    run(again, "predict", out, last)
    alone = shutil.copy(last, tmp_path / "alone.ckpt")
    opened = TrainedRun(out)
    assert [*filters, load(out).weights_info.filter, load(alone).weights_info.filter] == ["bicubic"] * 3
    assert resizing_filter(opened.module.filter, opened.cfg) == "bicubic"
    older = torch.load(last, weights_only=True)
    del older["alexnet_pl"]["filter"]
    torch.save(older, last)
    run(again, "predict", out, last)
    assert [filters[-1], load(out).weights_info.filter] == ["bilinear"] * 2, "as the run's config says"
