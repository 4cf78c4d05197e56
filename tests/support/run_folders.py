"""Read the files that a command wrote to a run folder."""

import csv
import json
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig
from running import last, run

from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt
from alexnet_pl.training.checkpointing import SaveClock


class Killed(BaseException):
    """Like SIGKILL: none of our code runs any more."""


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def rows_without_times(run_folder: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv that a continued fit repeats exactly."""
    found = [
        {key: value for key, value in row.items() if value and key != "train/images_per_second"}
        for row in table(run_folder / "metrics.csv")
    ]
    return [row for row in found if set(row) != {"step"}]


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """Send a signal during step number `step`."""
    plain = GracefulInterrupt.on_train_batch_end

    def on_train_batch_end(self: GracefulInterrupt, trainer: L.Trainer, *rest: Any) -> None:
        if trainer.global_step == step:
            signal.raise_signal(number)
        plain(self, trainer, *rest)

    monkeypatch.setattr(GracefulInterrupt, "on_train_batch_end", on_train_batch_end)


def whole_and_cut(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Last checkpoints of an uninterrupted fit in tmp_path/whole, and of one in tmp_path/cut, interrupted in `step`."""
    run(cfg, "fit", tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:  # noqa: PT012
        interrupt(patch, step)
        run(cfg, "fit", tmp_path / "cut")
    assert end.value.code == 128 + signal.SIGTERM
    assert load(last(tmp_path / "cut"))["global_step"] == step
    run(cfg, "fit", tmp_path / "cut", last(tmp_path / "cut"))
    return load(last(tmp_path / "whole")), load(last(tmp_path / "cut"))


def check_fit_killed_after_saving(cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Check that a fit which saves within epochs, and is killed when `step` has been saved, continues to the bit:
    as one that was not killed and saved only after validations."""
    run(cfg, "fit", tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        kill_after_saving(patch, step)
        run(cfg, "fit", tmp_path / "cut")
    assert load(last(tmp_path / "cut"))["global_step"] == step
    run(cfg, "fit", tmp_path / "cut", last(tmp_path / "cut"))
    assert_same_runs(tmp_path / "whole", tmp_path / "cut")


def kill_after_saving(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    plain = L.Callback.on_train_batch_start

    def on_train_batch_start(self: L.Callback, trainer: L.Trainer, *rest: Any) -> None:
        if trainer.global_step == step:
            raise Killed
        plain(self, trainer, *rest)

    monkeypatch.setattr(GracefulInterrupt, "on_train_batch_start", on_train_batch_start)
    monkeypatch.setattr(SaveClock, "is_due_within_epoch", lambda self: True)


def assert_same_runs(one: Path, other: Path) -> None:
    """Weights, optimizer, random states and counters of the last state and the best network, metrics.csv and the
    counts in fit.json."""
    for name in ("last.ckpt", "best.ckpt"):
        here, there = (load(folder / "checkpoints" / name) for folder in (one, other))
        for part in ("global_step", "epoch", "state_dict", "optimizer_states", "lr_schedulers", "metrics_rows"):
            assert_same(here.get(part), there.get(part), f"{name}: {part}")
        random = [saved.get("callbacks", {}).get("RandomState") for saved in (here, there)]
        assert_same(*random, f"{name}: random states")
    assert rows_without_times(one) == rows_without_times(other)
    counts = [json.loads((folder / "fit.json").read_text()) for folder in (one, other)]
    for name in ("steps", "epochs", "images", "ended_by"):
        assert counts[0][name] == counts[1][name], name


def assert_same(one: Any, other: Any, name: str) -> None:
    if isinstance(one, dict):
        assert list(one) == list(other), name
        for key, value in one.items():
            assert_same(value, other[key], f"{name}.{key}")
    elif isinstance(one, list):
        for here, there in zip(one, other, strict=True):
            assert_same(here, there, name)
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, name
