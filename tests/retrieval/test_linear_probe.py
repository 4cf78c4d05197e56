"""Linear probe of made-up features: the images of few shots, and the choice of a penalty."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_files import WIDTH, make_features
from scipy import stats

from alexnet_pl.config.options import ProbeOptions
from alexnet_pl.evaluation.logistic_regression import memory_of_fit
from alexnet_pl.retrieval import linear_probe
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.linear_probe import few_shots, load_features, probe_features

CPU = torch.device("cpu")
LABELS = np.repeat(np.arange(3), 40)


def make_classes(folder: Path, seed: int, distance: float) -> Features:
    """Three classes of normal vectors whose means are `distance` from the origin."""
    noise = np.random.default_rng(seed).standard_normal((len(LABELS), WIDTH))
    return make_features(folder, noise + distance * np.eye(3, WIDTH)[LABELS], LABELS)


def test_each_draw_of_few_shots_has_its_own_images(tmp_path: Path) -> None:
    train, tested = (
        load_features(make_classes(tmp_path / f"{split}-fc7", seed, 2.0), 3, CPU)
        for seed, split in enumerate(("train", "val"))
    )
    found = few_shots(train, tested, classes=3, shots=1, seed=7)
    assert len({*found.errors}) > 1, "five times the same images would give five equal errors"
    interval = stats.t.interval(0.95, 4, np.mean(found.errors), stats.sem(found.errors))
    assert found.top1_error_interval == pytest.approx([max(0, interval[0]), interval[1]])
    assert few_shots(train, tested, classes=3, shots=1, seed=7) == found


def test_largest_of_equally_good_penalties_is_chosen(tmp_path: Path) -> None:
    """Classes this far apart are told apart with any penalty."""
    train, tested = (make_classes(tmp_path / f"{split}-fc7", seed, 40.0) for seed, split in enumerate(("train", "val")))
    found = probe_features(train, tested, 3, ProbeOptions(penalties=[1e-3, 1e-1, 1e-2], shots=[]), 0, CPU)
    assert [(one.penalty, one.held_out_error) for one in found.penalties] == [(1e-1, 0), (1e-2, 0), (1e-3, 0)]
    assert (found.penalty, found.top1_error) == (1e-1, 0)


@pytest.mark.parametrize("spare", [-1, 1])
def test_features_are_loaded_to_a_gpu_that_has_memory_for_the_fit_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    features = make_classes(tmp_path / "train-fc7", 0, 2.0)
    free = features.values.nbytes + memory_of_fit(3, WIDTH) + spare
    moved: list[torch.dtype] = []

    def record(self: torch.Tensor, *_: Any) -> torch.Tensor:
        moved.append(self.dtype)
        return self

    monkeypatch.setattr(linear_probe, "available_memory", lambda _: free)
    monkeypatch.setattr(torch.Tensor, "to", record)
    load_features(features, 3, torch.device("cuda"))
    assert (torch.float16 in moved) == (spare > 0)
