"""A fit that begins at step 0 in a folder where one was killed before its first checkpoint (§6)."""

import csv
from pathlib import Path

from running import Compose

from alexnet_pl.experiment import build


def test_metrics_of_a_fit_that_was_killed_before_its_first_checkpoint_are_not_kept(
    config: Compose, tmp_path: Path
) -> None:
    """The learning rates of step 0 would stand there twice."""
    (tmp_path / "metrics.csv").write_text("lr,step\r\n0.01,0\r\n", newline="")
    cfg = config("cifar10", "logger=csv", f"data.root={tmp_path / 'store'}")
    (logger,) = build.make_trainer(cfg, tmp_path).loggers
    _ = logger.experiment
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == []
