"""A fit ended by `trainer.max_steps` and resumed without the limit."""

from pathlib import Path

import pytest
import torch
from running import Compose, last, run

from alexnet_pl.runs.checkpoint import read_checkpoint


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
