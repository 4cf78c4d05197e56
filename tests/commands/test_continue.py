"""Fits that continue with other settings or limits, or that a resumed command leaves as they are."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from run_folders import load, table, whole_and_cut
from running import Compose, fit_in_seconds, last, run

from alexnet_pl.errors import UserError
from alexnet_pl.training.callbacks.restored_state import RestoredState

PLATEAU = ("schedule.name=plateau", "schedule.plateau.patience=1", "schedule.plateau.min_delta=99")  # each validation


@pytest.fixture
def quick(config: Compose, tiny_store: Path) -> DictConfig:
    """Two epochs of three steps."""
    limits = ("+trainer.max_steps=-1", "+trainer.val_check_interval=1.0")
    return config("imagenette", *fit_in_seconds(tiny_store), "schedule.name=steps", "schedule.steps.drops=[2]", *limits)


def record(run_folder: Path) -> dict[str, Any]:
    return json.loads((run_folder / "fit.json").read_text())


def validated(run_folder: Path) -> list[tuple[str, str]]:
    return [(row["step"], row["val/top1_error"]) for row in table(run_folder / "metrics.csv") if row["val/top1_error"]]


def best_score(checkpoint: dict[str, Any]) -> float:
    (state,) = [state for key, state in checkpoint["callbacks"].items() if "val/top1_error" in key]
    return float(state["best_model_score"])


def test_refused_or_failed_resume_leaves_a_finished_run(
    quick: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(quick, "fit", tmp_path)
    before = (tmp_path / "fit.json").read_bytes()
    for key, limit, place in (("max_epochs", 1, "in epoch 2"), ("max_steps", 5, "at step 6")):
        with pytest.raises(UserError, match=rf"^trainer.{key}={limit}: the resumed run is {place}; give at least "):
            run(quick, "fit", tmp_path, last(tmp_path), **{f"trainer.{key}": limit})
    with pytest.raises(UserError, match=r"^trainer.max_epochs=1: the resumed run is in epoch 2; give at least "):
        run(quick, "fit", tmp_path, Path("auto"), **{"trainer.max_epochs": 1})
    monkeypatch.setattr(RestoredState, "on_train_start", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(quick, "fit", tmp_path, last(tmp_path), **{"trainer.max_epochs": 3, "optim.lr": 0.5})
    assert (tmp_path / "fit.json").read_bytes() == before


def test_step_limit_within_the_last_epoch_is_not_the_schedules_end(quick: DictConfig, tmp_path: Path) -> None:
    for limit, wanted in ((5, ("max_steps", 1)), (6, ("schedule", 2))):
        run(quick, "fit", tmp_path / str(limit), **{"trainer.max_steps": limit})
        found = record(tmp_path / str(limit))
        assert (found["ended_by"], found["epochs"], found["steps"]) == (*wanted, limit)


def test_fit_that_its_schedule_ended_is_not_continued_by_more_epochs(
    config: Compose, tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With more divisions it makes the one that its last plateau asked for, as a fit that had them from the start."""
    words = [*fit_in_seconds(tiny_store), *PLATEAU, "trainer.max_epochs=5"]
    cfg = config("imagenette", *words, "schedule.plateau.times=0")
    run(cfg, "fit", tmp_path / "parted")
    before = record(tmp_path / "parted")
    assert (before["epochs"], before["ended_by"]) == (2, "schedule")
    capsys.readouterr()
    run(cfg, "fit", tmp_path / "parted", last(tmp_path / "parted"), **{"trainer.max_epochs": 9})
    assert "already finished (2 epochs, 6 steps); its schedule has ended it" in capsys.readouterr().out
    assert record(tmp_path / "parted") == before
    cfg.schedule.plateau.times = 1
    run(cfg, "fit", tmp_path / "parted", last(tmp_path / "parted"))
    run(cfg, "fit", tmp_path / "whole")
    parted, whole = (load(last(tmp_path / name)) for name in ("parted", "whole"))
    assert parted["global_step"] == whole["global_step"] == 9
    assert all(torch.equal(parted["state_dict"][name], tensor) for name, tensor in whole["state_dict"].items())
    assert record(tmp_path / "parted")["changed_settings"] == ["schedule.times"]


@pytest.mark.parametrize("step", [2, 5])
def test_signal_before_a_validation_within_the_epoch_does_not_lose_it(
    quick: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    quick.trainer.val_check_interval, quick.performance.checkpoint_minutes = 2, 60
    whole, cut = whole_and_cut(quick, tmp_path, monkeypatch, step)
    assert [step for step, _ in validated(tmp_path / "whole")] == ["2", "5"]
    assert validated(tmp_path / "cut") == validated(tmp_path / "whole")
    assert best_score(cut) == best_score(whole)
    assert all(torch.equal(cut["state_dict"][name], tensor) for name, tensor in whole["state_dict"].items())


def test_step_limit_before_a_validation_within_the_epoch_does_not_lose_it(quick: DictConfig, tmp_path: Path) -> None:
    quick.trainer.val_check_interval, quick.performance.checkpoint_minutes = 1, 60
    run(quick, "fit", tmp_path / "whole")
    run(quick, "fit", tmp_path / "cut", **{"trainer.max_steps": 2})
    run(quick, "fit", tmp_path / "cut", last(tmp_path / "cut"))
    assert validated(tmp_path / "cut") == validated(tmp_path / "whole")
    whole, cut = (load(last(tmp_path / name)) for name in ("whole", "cut"))
    assert best_score(cut) == best_score(whole)
    assert all(torch.equal(cut["state_dict"][name], tensor) for name, tensor in whole["state_dict"].items())
