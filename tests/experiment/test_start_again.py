"""A new fit in the folder of one that was killed before its first checkpoint."""

import csv
from pathlib import Path

from running import Compose

from alexnet_pl.experiment.trainer import make_trainer


def test_metrics_before_the_first_checkpoint_are_dropped(config: Compose, tmp_path: Path) -> None:
    """Otherwise the learning rates of step 0 would be logged twice."""
    (tmp_path / "metrics.csv").write_text("lr,step\r\n0.01,0\r\n", newline="")
    cfg = config("cifar10", "logger=csv", f"data.root={tmp_path / 'store'}")
    (logger,) = make_trainer(cfg, tmp_path, []).loggers
    _ = logger.experiment
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == []
