import os
import shutil
from pathlib import Path

import pytest

from alexnet_pl.experiment.trained_run import TrainedRun


@pytest.fixture
def run(tiny_run: Path) -> TrainedRun:
    return TrainedRun(tiny_run)


@pytest.fixture
def light(tiny_run: Path, tmp_path: Path) -> Path:
    """Run folder without checkpoints and features, which are large."""
    folder = tmp_path / "light"
    shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("checkpoints", "features"))
    return folder


@pytest.fixture
def copy(light: Path, tiny_run: Path) -> Path:
    (light / "checkpoints").mkdir()
    os.link(tiny_run / "checkpoints/last.ckpt", light / "checkpoints/last.ckpt")
    return light
