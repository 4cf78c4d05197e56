"""`last.ckpt` is saved at most every `performance.checkpoint_minutes`; a killed fit continues from it to the bit."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
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


@pytest.mark.parametrize(
    "options",
    [
        {"val_check_interval": 3},
        {"check_val_every_n_epoch": 2},
        {"check_val_every_n_epoch": 2, "limit_val_batches": 0},
    ],
    ids=str,
)
def test_best_checkpoint_by_training_error_does_not_depend_on_validations(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """It was not saved, or by the error of the epoch before; without validations, last.ckpt was saved only at the
    end."""
    cfg.objective, cfg.schedule.name, cfg.trainer.max_epochs = "train/epoch_top1_error", "steps", 3
    cfg.performance.checkpoint_minutes = 0
    OmegaConf.update(cfg, "trainer", options, force_add=True)
    saved = record_saves(monkeypatch)
    run(cfg, "fit", tmp_path)
    errors = [
        float(row["train/epoch_top1_error"]) for row in table(tmp_path / "metrics.csv") if row["train/epoch_top1_error"]
    ]
    best = load(tmp_path / "checkpoints/best.ckpt")["global_step"]
    assert best == STEPS * (1 + errors.index(min(errors)))
    if "limit_val_batches" in options:
        assert saved == [STEPS, 2 * STEPS, 3 * STEPS]


def test_error_of_images_trained_on_chooses_no_network(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the second epoch on, of 136 images: 8 batches of 16."""
    cfg.schedule.name, cfg.trainer.max_epochs, cfg.data.include_val_after_epoch = "steps", 3, 1
    objective = run(cfg, "fit", tmp_path)
    errors = {
        row["step"]: float(row["val/top1_error"]) for row in table(tmp_path / "metrics.csv") if row["val/top1_error"]
    }
    assert list(errors) == ["6", "14", "22"]
    assert load(tmp_path / "checkpoints/best.ckpt")["global_step"] == 6
    assert objective == pytest.approx(errors["6"])
    assert ", center view, of images trained on; " in capsys.readouterr().out
    assert load(last(tmp_path))["global_step"] == 22, "the network of the last epoch is the one to test"


def test_last_line_names_the_step_of_an_earlier_validation(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg.schedule.name, cfg.trainer.max_epochs = "steps", 3
    OmegaConf.update(cfg, "trainer", {"check_val_every_n_epoch": 2}, force_add=True)
    run(cfg, "fit", tmp_path / "rare")
    assert ", center view, after step 12; " in capsys.readouterr().out
    cfg.trainer.max_epochs = 2
    run(cfg, "fit", tmp_path / "last")
    assert ", center view; " in capsys.readouterr().out
