"""Figures of boxes: legible labels, and a title that says how boxes were combined."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from alexnet_pl.config.box_options import DetectOptions
from alexnet_pl.detection.finder import Candidates, PredictedBoxes
from alexnet_pl.figures.boxes import merging_figure, text_color

IMAGE = torch.zeros(3, 60, 80, dtype=torch.uint8)
BOXES = np.array([[10.0, 20, 50, 50], [15.0, 22, 55, 55]])
FOUND = PredictedBoxes(labels=np.array([0, 4]), scores=np.array([0.9, 0.4]), boxes=BOXES)


def finder(combine: str) -> Any:
    some = Candidates(labels=FOUND.labels, scores=FOUND.scores, boxes=FOUND.boxes, requested=np.zeros(2, bool))
    options = DetectOptions(combine=combine)
    return SimpleNamespace(options=options, candidates=lambda image: some, combine=lambda candidates: FOUND)


@pytest.mark.parametrize(("combine", "name"), [("merge", "merging"), ("nms", "suppression")])
def test_title_names_how_boxes_were_combined(combine: str, name: str) -> None:
    _, after = merging_figure(finder(combine), [IMAGE], list("abcde")).axes
    assert after.get_title() == f"2 after {name}, the best 2 drawn"


def test_labels_are_on_their_boxes_color_and_the_best_is_drawn_last() -> None:
    _, after = merging_figure(finder("merge"), [IMAGE], list("abcde")).axes
    labels: list[Any] = [child for child in after.get_children() if isinstance(child, Text) and child.get_bbox_patch()]
    assert [label.get_text() for label in labels] == ["e 0.40", "a 0.90"]
    assert [label.get_color() for label in labels] == ["#ffffff", "#000000"]
    assert len({label.get_bbox_patch().get_facecolor() for label in labels}) == 2


@pytest.mark.parametrize(
    ("background", "text"),
    [("#000000", "#ffffff"), ("#ffffff", "#000000"), ("#0072b2", "#ffffff"), ("#f0e442", "#000000")],
)
def test_text_is_dark_on_light_colors_and_light_on_dark_ones(background: str, text: str) -> None:
    assert text_color(background) == text
