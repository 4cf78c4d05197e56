"""Evaluation of a detector on images that were made smaller for the store."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from alexnet_pl.config.box_options import DetectOptions
from alexnet_pl.detection.box_evaluation import evaluate_detector
from alexnet_pl.detection.finder import PredictedBoxes

TRUTH, FOUND = [10.0, 10, 20, 20], [15.0, 10, 25, 20]  # IoU 1/3


class OneBoxSplit:
    """A 100 × 50 image as stored, with one 10 × 10 box; `shrunk`: how many times as large its file is."""

    name = "val"

    def __init__(self, shrunk: int) -> None:
        self.sizes = np.array([[100, 50]])
        self.original_sizes = shrunk * self.sizes

    def __len__(self) -> int:
        return 1

    def image(self, number: int) -> torch.Tensor:
        return torch.zeros(3, 100, 50, dtype=torch.uint8)

    def boxes(self, number: int) -> torch.Tensor:
        return torch.tensor([TRUTH])

    def box_labels(self, number: int) -> torch.Tensor:
        return torch.tensor([0])

    def box_difficult(self, number: int) -> torch.Tensor:
        return torch.tensor([False])


@pytest.mark.parametrize(("shrunk", "least"), [(1, 10 * 10 / (20 * 20)), (4, 40 * 40 / (50 * 50))])
def test_ilsvrc_rule_measures_boxes_in_the_original_file(shrunk: int, least: float) -> None:
    """`least`: wh / ((w + 10)(h + 10)) of the box in the file, the IoU that ILSVRC asks of it if it is below 0.5."""
    found = PredictedBoxes(np.array([0]), np.array([1.0]), np.array([FOUND]))
    finder: Any = SimpleNamespace(find=lambda image: found, network=SimpleNamespace(num_objects=1))
    split: Any = OneBoxSplit(shrunk)
    numbers = evaluate_detector(finder, split, DetectOptions(), ["n01"]).numbers
    assert numbers["map"] == (100 if min(0.5, least) <= 1 / 3 else 0)
