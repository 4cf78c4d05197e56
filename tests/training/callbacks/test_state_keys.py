"""State keys in checkpoints never change, so that older checkpoints resume."""

from pathlib import Path

from alexnet_pl.training.callbacks.saved_state import RandomState
from alexnet_pl.training.checkpointing import SaveClock, make_checkpoints
from alexnet_pl.training.schedules import ConstantSchedule, PlateauSchedule


def test_state_keys_are_unchanged() -> None:
    assert PlateauSchedule().state_key == "DivideByTen"
    assert ConstantSchedule(until=25.0).state_key == "Constant"
    assert RandomState().state_key == "RandomState"
    best, last = make_checkpoints(Path(), "val/top1_error", SaveClock(minutes=5))
    every = "'every_n_train_steps': 0, 'every_n_epochs': 1, 'train_time_interval': None"
    assert best.state_key == f"Checkpoint{{'monitor': 'val/top1_error', 'mode': 'min', {every}}}"
    assert last.state_key == f"Checkpoint{{'monitor': None, 'mode': 'min', {every}}}"
