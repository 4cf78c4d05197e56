"""End of a fit: only the schedule's own end counts for a row of the paper."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from trainers import fake_module, fake_trainer, rates, trained_epochs

from alexnet_pl.config.recipes import compose
from alexnet_pl.training.epoch_schedules import LoggedSchedule, StagedSchedule, StepSchedule
from alexnet_pl.training.schedules import (
    ConstantSchedule,
    PlateauSchedule,
    Schedule,
    count_completed_epochs,
    find_end_of_fit,
)

STAGED = [{"epoch": 1, "weights": {"all": 0.01}}]


def ended_by(schedule: Schedule, epochs: int, max_epochs: int = 10, steps: int = 0, max_steps: int = -1) -> str:
    counts: dict[str, Any] = {**trained_epochs(epochs), "max_epochs": max_epochs, "global_step": steps}
    return find_end_of_fit(SimpleNamespace(callbacks=[schedule], max_steps=max_steps, **counts))  # type: ignore[arg-type]


def plateau(num_drops: int, done: bool = False) -> PlateauSchedule:
    schedule = PlateauSchedule(times=3)
    schedule.num_drops, schedule.done = num_drops, done
    return schedule


def until(done: bool) -> ConstantSchedule:
    schedule = ConstantSchedule(25)
    schedule.done = done
    return schedule


@pytest.mark.parametrize(
    ("schedule", "epochs", "wanted"),
    [
        (plateau(3), 8, "other"),
        (plateau(3, done=True), 8, "schedule"),
        (plateau(3), 10, "schedule"),
        (plateau(2), 10, "max_epochs"),
        (plateau(2), 8, "other"),
        (LoggedSchedule(1, 2, 3, 4, 5, stop=9), 9, "schedule"),
        (LoggedSchedule(1, 2, 3, 4, 5, stop=12), 10, "max_epochs"),
        (StepSchedule([3]), 10, "schedule"),
        (StepSchedule([3]), 4, "other"),
        (StagedSchedule(STAGED), 10, "schedule"),
        (until(True), 3, "schedule"),
        (until(False), 10, "max_epochs"),
        (ConstantSchedule(), 10, "schedule"),
    ],
)
def test_fit_ends_by_schedule_max_epochs_or_otherwise(schedule: Schedule, epochs: int, wanted: str) -> None:
    assert ended_by(schedule, epochs) == wanted


def test_max_steps_is_distinguished_from_other_ends() -> None:
    assert ended_by(plateau(0), 1, steps=20, max_steps=20) == "max_steps"
    assert ended_by(plateau(0), 1, steps=19, max_steps=20) == "other"


def test_limits_of_zero_and_one_end_a_fit() -> None:
    """In Lightning, -1 means no limit."""
    assert ended_by(plateau(0), 0, steps=1, max_steps=1) == "max_steps"
    assert ended_by(plateau(0), 0, max_epochs=0) == "max_epochs"
    assert ended_by(plateau(0), 0, max_epochs=-1, max_steps=0) == "other"


@pytest.mark.parametrize(("trained", "is_last_batch"), [(0, False), (2, True), (2, False)])
def test_only_epochs_trained_to_their_last_batch_count(trained: int, is_last_batch: bool) -> None:
    assert count_completed_epochs(SimpleNamespace(**trained_epochs(trained, is_last_batch))) == trained  # type: ignore[arg-type]


def test_lower_target_error_continues_a_constant_schedule() -> None:
    """An older checkpoint lacks the error that ended the fit; a higher target does not end one that had not ended."""
    ended = ConstantSchedule(25)
    trainer: Any = fake_trainer()
    ended.on_train_epoch_end(trainer, SimpleNamespace(epoch_error=lambda: 22.0))  # type: ignore[arg-type]
    for until, saved, done in (
        (25, ended.state_dict(), True),
        (22, ended.state_dict(), True),
        (20, ended.state_dict(), False),
        (None, ended.state_dict(), False),
        (20, {"done": True}, True),
        (50, {"done": False, "error": 40.0}, False),
    ):
        resumed = ConstantSchedule(until)
        resumed.load_state_dict(saved)
        assert resumed.done == resumed.ends_by_itself(trainer) == done, until


def test_only_division_freezes_conv1() -> None:
    trainer, module, schedule = fake_trainer(), fake_module(), PlateauSchedule(times=1)
    schedule.on_plateau(trainer, module)
    assert rates(trainer)["conv1.weight"] == rates(trainer)["conv1.bias"] == module.augment.noise == 0
    assert rates(trainer)["fc8.weight"] == pytest.approx(0.001)


@pytest.mark.parametrize(("until", "allowed"), [(0, True), (100, True), (-0.1, False), (100.1, False)])
def test_target_error_is_a_percentage(until: float, allowed: bool) -> None:
    with nullcontext() if allowed else pytest.raises(ValueError, match="until="):
        ConstantSchedule(until)


def test_default_patience_is_the_recipes() -> None:
    assert PlateauSchedule().patience == compose("ilsvrc2012", []).schedule.plateau.patience
