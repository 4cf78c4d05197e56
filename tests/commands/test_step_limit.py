"""A fit ended by `trainer.max_steps` and resumed without the limit."""

import signal
from pathlib import Path

import lightning as L
import pytest
import torch
from running import Compose, last, run

from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt


@pytest.mark.parametrize("limit", [4, 6, 9])
def test_continued_fit_trains_every_step_of_an_uninterrupted_one(
    limit: int, config: Compose, tiny: list[str], tmp_path: Path
) -> None:
    """Two epochs of six steps; the limit is within the first, at its end, or within the second."""
    cfg = config(
        "imagenette", *tiny, "trainer.precision=32-true", "+trainer.enable_progress_bar=false", "+trainer.max_steps=-1"
    )
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    run(cfg, "fit", whole)
    run(cfg, "fit", parted, **{"trainer.max_steps": limit})
    assert read_checkpoint(last(parted))["global_step"] == limit
    run(cfg, "fit", parted, last(parted))
    ours, theirs = (read_checkpoint(last(folder)) for folder in (parted, whole))
    assert ours["global_step"] == theirs["global_step"] == 12
    assert all(torch.equal(ours["state_dict"][name], weight) for name, weight in theirs["state_dict"].items())


def test_signal_in_the_last_step_does_not_complete_the_epoch(
    config: Compose, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the checkpoint within the epoch, which one of the end of the epoch replaced."""
    plain = GracefulInterrupt.save

    def save(self: GracefulInterrupt, trainer: L.Trainer) -> None:
        plain(self, trainer)
        self.caught = signal.SIGTERM

    cfg = config("imagenette", *tiny, "trainer.precision=32-true", "+trainer.max_steps=4")
    with monkeypatch.context() as patch:
        patch.setattr(GracefulInterrupt, "save", save)
        run(cfg, "fit", tmp_path)
    progress = read_checkpoint(last(tmp_path))["loops"]["fit_loop"]["epoch_progress"]["current"]
    assert (progress["started"], progress["completed"]) == (1, 0)
