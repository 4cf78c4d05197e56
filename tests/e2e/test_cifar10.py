"""CIFAR-10 claims at small scale: a few hundred official images through the commands of the full experiments."""

import csv
import json
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import OmegaConf
from running import Compose

from alexnet_pl.commands import dispatch
from alexnet_pl.data.store.store import Store
from alexnet_pl.experiment import build
from alexnet_pl.experiment.trained_run import load_module
from alexnet_pl.runs.metrics_log import read_errors
from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt


def fit(config: Compose, name: str, folder: Path, store: Path, *overrides: str, ckpt: Path | None = None) -> Path:
    cfg = config(
        name, f"data.root={store}", "data.batch_size=32", "logger=csv", "performance.compile=false", *overrides
    )
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")  # as Hydra does
    cfg.ckpt_path = str(ckpt) if ckpt else None
    dispatch.run(cfg, folder)
    return folder


def column(folder: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) of the rows that contain the column."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file) if row.get(name)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def test_figure_1_on_few_images(config: Compose, cifar_store: Path, tmp_path: Path) -> None:
    """416 official images, training and validation together; each run ends at the line, 80 % here."""
    for activation in ("relu", "tanh"):
        words = [f"model.activation={activation}", "schedule.constant.until=80", "trainer.log_every_n_steps=1"]
        words += ["optim.lr=0.004", "trainer.max_epochs=30"]
        run = fit(config, "cifar10", tmp_path / activation, cifar_store, *words)
        errors = column(run, "train/epoch_top1_error")
        assert [step for step, _ in errors] == [13 * (i + 1) for i in range(len(errors))], (
            "13 minibatches of 32 are 416"
        )
        assert errors[-1][1] <= 80 < min(error for _, error in errors[:-1])
        steps = dict(column(run, "train/top1_error"))
        for last, error in errors:
            assert error == pytest.approx(sum(steps[last - i] for i in range(13)) / 13, abs=1e-4)
    assert [round(error, 3) for error in read_errors(run / "metrics.csv")] == [round(error, 3) for _, error in errors]


LOCAL = [
    "data.include_val_after_epoch=1",
    "schedule.steps.drops=[3]",
    "trainer.max_epochs=3",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=2",
]


def test_validation_images_are_included_after_the_configured_epoch(
    config: Compose, cifar_store: Path, tmp_path: Path
) -> None:
    """320 / 32 = 10 steps, then 416 / 32 = 13; the rate of weights drops in the third epoch."""
    run = fit(config, "cifar10_11pct", tmp_path / "run", cifar_store, *LOCAL)
    assert [step for step, _ in column(run, "train/epoch_top1_error")] == [10, 23, 36]
    rates = {name: dict(column(run, f"lr-MomentumSGD/{name}")) for name in ("local3.weight", "local3.bias")}
    assert list(rates["local3.weight"].values()) == pytest.approx([0.001, 0.001, 0.0001])
    assert list(rates["local3.bias"].values()) == pytest.approx([0.002, 0.002, 0.002])


@pytest.mark.parametrize("step", [5, 10, 17])
def test_run_interrupted_around_the_inclusion_is_bit_identical(
    config: Compose, cifar_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    plain = GracefulInterrupt.on_train_batch_end

    def cut(self: GracefulInterrupt, trainer: L.Trainer, *rest: Any) -> None:
        if trainer.global_step == step:
            signal.raise_signal(signal.SIGTERM)
        plain(self, trainer, *rest)

    whole = fit(config, "cifar10_13pct", tmp_path / "whole", cifar_store, *LOCAL)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):  # noqa: PT012
        patch.setattr(GracefulInterrupt, "on_train_batch_end", cut)
        fit(config, "cifar10_13pct", tmp_path / "cut", cifar_store, *LOCAL)
    last = tmp_path / "cut/checkpoints/last.ckpt"
    resumed = fit(config, "cifar10_13pct", tmp_path / "cut", cifar_store, *LOCAL, ckpt=last)
    there = weights(whole)
    assert all(torch.equal(value, there[name]) for name, value in weights(resumed).items())
    assert column(resumed, "train/epoch_top1_error") == column(whole, "train/epoch_top1_error")


def test_test_uses_nine_views(config: Compose, cifar_store: Path, tmp_path: Path) -> None:
    """Compared with the mean of nine softmax outputs of crops made here."""
    run = fit(config, "cifar10_13pct", tmp_path / "run", cifar_store, *LOCAL, "optim.lr=0.01")
    cfg = config("cifar10_13pct", f"data.root={cifar_store}", "data.batch_size=32", "trainer.precision=32-true")
    cfg.command, cfg.ckpt_path = "test", str(run / "checkpoints/last.ckpt")
    dispatch.run(cfg, run)
    result = json.loads((run / "result.json").read_text())
    assert (result["views"], result["images"], result["dataset"]["split"]) == ("nine", 100, "test")

    store = Store(cifar_store)
    module = load_module(cfg.ckpt_path, build.make_module(cfg))
    test = store.split("test")
    pixels = test.to_device(torch.device("cpu"))[0].float()
    mean = torch.from_numpy(store.mean).float()[:, 4:28, 4:28]
    with torch.no_grad():
        views = [
            module.net(pixels[:, :, top : top + 24, left : left + 24] - mean).softmax(1)
            for top in (0, 4, 8)
            for left in (0, 4, 8)
        ]
    wrong = (sum(views).argmax(1).numpy() != test.labels).mean()  # type: ignore[union-attr]
    assert result["top1_error"] == pytest.approx(100 * wrong)
    assert 0 < wrong < 1
