"""Read the files that a command wrote to a run folder."""

import csv
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig
from running import last, run

from alexnet_pl.training.callbacks.resume import GracefulInterrupt


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
