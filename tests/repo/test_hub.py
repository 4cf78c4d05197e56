"""hubconf.py, loaded by torch.hub from a checkout."""

from pathlib import Path

import numpy as np
import torch

from alexnet_pl.experiment.trained_run import TrainedRun

ROOT = str(Path(__file__).parents[2])


def test_alexnet_entry_point_accepts_options() -> None:
    net = torch.hub.load(ROOT, "alexnet", source="local", num_classes=7, crop=67, width=0.1)
    assert net(torch.zeros(2, 3, 67, 67)).shape == (2, 7)


def test_trained_entry_point_matches_its_run(tiny_run: Path) -> None:
    model = torch.hub.load(ROOT, "trained", source="local", run=str(tiny_run), views="center")
    run = TrainedRun(tiny_run)
    images = run.store.split("val").images(np.arange(2))
    with torch.inference_mode():
        wanted = run.module.log_probabilities(images, "center").exp()
        torch.testing.assert_close(model(images), wanted, rtol=1e-5, atol=1e-7)
