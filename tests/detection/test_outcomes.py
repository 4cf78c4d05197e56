"""Kinds of detection mistakes, on a hand-made scene."""

import numpy as np
import pytest

from alexnet_pl.detection.average_precision import DetectedBoxes, TrueBoxes
from alexnet_pl.detection.outcomes import OUTCOMES, classify_detections, count_outcomes


def test_one_mistake_of_each_kind() -> None:
    truths = TrueBoxes(
        np.array([0, 0, 1]),
        np.array([0, 1, 0]),
        np.array([[0, 0, 100, 100], [200, 0, 300, 100], [0, 0, 50, 50]], float),
        np.zeros(3, bool),
    )
    rows = [
        (0.9, 0, [0, 0, 100, 95], "right"),
        (0.8, 0, [0, 5, 100, 100], "double"),
        (0.7, 0, [200, 0, 300, 90], "wrong class"),
        (0.6, 1, [200, 60, 300, 160], "badly placed"),
        (0.5, 1, [400, 400, 450, 450], "background"),
        (0.4, 0, [198, 0, 300, 100], "wrong class"),
    ]
    boxes = np.array([row[2] for row in rows], float)
    found = DetectedBoxes(
        np.zeros(6, int), np.array([row[1] for row in rows]), np.array([row[0] for row in rows]), boxes
    )
    kinds, missed = classify_detections(found, truths)
    assert kinds.tolist() == [row[3] for row in rows]
    assert missed.tolist() == [False, True, True]
    counts = count_outcomes(kinds, missed)
    assert tuple(counts) == OUTCOMES
    assert list(counts.values()) == [1, 1, 1, 2, 1, 2]


def test_more_confident_detection_is_right_in_any_order() -> None:
    """The box is that of the second detection, which is more confident, although the first overlaps it more."""
    truths = TrueBoxes(np.array([0]), np.array([3]), np.array([[0.0, 0, 100, 100]]), np.zeros(1, bool))
    boxes = np.array([[0.0, 0, 100, 100], [0, 0, 100, 80]])
    kinds, missed = classify_detections(
        DetectedBoxes(np.zeros(2, int), np.full(2, 3), np.array([0.2, 0.9]), boxes), truths
    )
    assert (kinds.tolist(), missed.tolist()) == (["double", "right"], [False])


@pytest.mark.parametrize(
    ("width", "kind"), [(9, "background"), (10, "badly placed"), (49, "badly placed"), (50, "right")]
)
@pytest.mark.parametrize("difficult", [False, True])
def test_overlaps_of_a_tenth_and_a_half_separate_the_kinds(width: int, kind: str, difficult: bool) -> None:
    """The detection lies within a box of 100 pixels, so that their IoU is its own width in percent."""
    truths = TrueBoxes(np.array([0]), np.array([3]), np.array([[0.0, 0, 100, 1]]), np.array([difficult]))
    found = DetectedBoxes(np.array([0]), np.array([3]), np.array([0.5]), np.array([[0.0, 0, width, 1]]))
    kinds, missed = classify_detections(found, truths)
    assert (kinds.tolist(), missed.tolist()) == ([kind], [kind != "right" and not difficult])


def test_difficult_boxes_do_not_count_as_missed() -> None:
    truths = TrueBoxes(np.array([0]), np.array([0]), np.array([[0.0, 0, 9, 9]]), np.array([True]))
    nothing = DetectedBoxes(np.empty(0, int), np.empty(0, int), np.empty(0), np.empty((0, 4)))
    assert not classify_detections(nothing, truths)[1].any()
