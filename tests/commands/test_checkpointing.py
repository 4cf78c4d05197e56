"""`last.ckpt` is saved at most every `performance.checkpoint_minutes`; a killed fit continues from it to the bit."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig
from run_folders import Killed, load, table
from running import last, run

from alexnet_pl.training import checkpointing
from alexnet_pl.training.checkpointing import AtomicCheckpointIO

STEPS = 6  # of an epoch


def record_saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of steps of the `last.ckpt` that a fit saves from now on."""
    saved, plain = [], AtomicCheckpointIO.save_checkpoint

    def save(self: AtomicCheckpointIO, checkpoint: dict[str, Any], path: str | Path, **rest: Any) -> None:
        if Path(path).name == "last.ckpt":
            saved.append(checkpoint["global_step"])
        plain(self, checkpoint, path, **rest)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save)
    return saved


def pass_minutes(monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    """Let so many minutes pass from one question for the time to the next: of each epoch, and after each saving."""
    monkeypatch.setattr(checkpointing, "time", SimpleNamespace(monotonic=count(step=60 * minutes).__next__))


@pytest.mark.parametrize(("minutes", "epochs"), [(5, [1, 4, 5]), (4, [1, 3, 5]), (0, [1, 2, 3, 4, 5])])
def test_last_checkpoint_is_saved_when_due_and_at_the_end(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int, epochs: list[int]
) -> None:
    cfg.performance.checkpoint_minutes, cfg.trainer.max_epochs = minutes, 5
    saved = record_saves(monkeypatch)
    pass_minutes(monkeypatch, 2)
    run(cfg, "fit", tmp_path)
    assert saved == [STEPS * epoch for epoch in epochs]


def test_killed_fit_repeats_the_epochs_after_its_last_checkpoint(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg.performance.checkpoint_minutes, cfg.trainer.max_epochs, cfg.trainer.precision = 60, 4, "32-true"
    run(cfg, "fit", tmp_path / "whole")

    plain = checkpointing.LastCheckpoint.on_train_epoch_end

    def kill(self: checkpointing.LastCheckpoint, trainer: L.Trainer, module: L.LightningModule) -> None:
        plain(self, trainer, module)
        if trainer.current_epoch == 2:
            raise Killed

    cut = tmp_path / "cut"
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        patch.setattr(checkpointing.LastCheckpoint, "on_train_epoch_end", kill)
        run(cfg, "fit", cut)
    assert load(last(cut))["global_step"] == STEPS, "that of the first epoch"
    run(cfg, "fit", cut, last(cut))
    whole, resumed = load(last(tmp_path / "whole")), load(last(cut))
    assert (resumed["global_step"], resumed["epoch"]) == (whole["global_step"], whole["epoch"])
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name
    best = [load(run / "checkpoints/best.ckpt")["state_dict"] for run in (tmp_path / "whole", cut)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())


def test_longer_fit_continues_from_the_checkpoint_of_the_end(cfg: DictConfig, tmp_path: Path) -> None:
    """The end of a fit is saved after the last epoch was counted, unlike the end of an epoch."""
    cfg.performance.checkpoint_minutes, cfg.trainer.max_epochs, cfg.trainer.precision = 60, 4, "32-true"
    run(cfg, "fit", tmp_path / "whole")
    cfg.trainer.max_epochs = 2
    run(cfg, "fit", tmp_path / "longer")
    assert load(last(tmp_path / "longer"))["global_step"] == 2 * STEPS
    cfg.trainer.max_epochs = 4
    run(cfg, "fit", tmp_path / "longer", last(tmp_path / "longer"))
    whole, longer = load(last(tmp_path / "whole")), load(last(tmp_path / "longer"))
    assert (longer["global_step"], longer["epoch"]) == (whole["global_step"], whole["epoch"])
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, longer["state_dict"][name]), name
    errors = [[row["val/top1_error"] for row in table(run / "metrics.csv")] for run in tmp_path.iterdir()]
    assert errors[0] == errors[1]
