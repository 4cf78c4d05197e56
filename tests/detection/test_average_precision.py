"""Average precision: hand-made cases of each rule, and COCO's evaluation where rules agree."""

import numpy as np
import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision

from alexnet_pl.detection.average_precision import (
    RULES,
    DetectedBoxes,
    TrueBoxes,
    area_under_envelope,
    average_precisions,
    eleven_point_area,
    iou_thresholds,
    mean_average_precision,
    precision_curve,
)

BOX, NEAR, FAR = [0, 0, 100, 100], [0, 0, 100, 80], [200, 200, 300, 300]


def detections(rows: list[tuple[int, int, float, list[float]]]) -> DetectedBoxes:
    images, labels, scores, boxes = zip(*rows, strict=True)
    return DetectedBoxes(np.array(images), np.array(labels), np.array(scores), np.array(boxes, float))


def truths(rows: list[tuple[int, int, list[float]]], difficult: tuple[int, ...] = ()) -> TrueBoxes:
    images, labels, boxes = zip(*rows, strict=True)
    hard = np.isin(np.arange(len(rows)), difficult)
    return TrueBoxes(np.array(images), np.array(labels), np.array(boxes, float), hard)


def precision(
    found: list, there: list, rule: str, difficult: tuple[int, ...] = (), skipped: set = frozenset()
) -> float:
    return average_precisions(detections(found), truths(there, difficult), 1, rule, skipped)[0]


@pytest.mark.parametrize("rule", RULES)
def test_perfect_detections_have_ap_1(rule: str) -> None:
    assert precision([(0, 0, 0.9, BOX), (1, 0, 0.8, FAR)], [(0, 0, BOX), (1, 0, FAR)], rule) == 1


def test_precision_recall_curve_by_hand() -> None:
    """True, false and true positive with two boxes: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1."""
    found = [(0, 0, 0.9, BOX), (0, 0, 0.8, [400, 0, 500, 50]), (0, 0, 0.7, FAR)]
    there = [(0, 0, BOX), (0, 0, FAR)]
    assert precision(found, there, "ilsvrc") == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert precision(found, there, "voc2007") == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


@pytest.mark.parametrize("rule", RULES)
def test_duplicate_detection_is_a_false_positive(rule: str) -> None:
    found = [(0, 0, 0.9, BOX), (0, 0, 0.8, BOX), (0, 0, 0.7, FAR)]
    there = [(0, 0, BOX), (0, 0, FAR)]
    expected = (6 + 5 * 2 / 3) / 11 if rule == "voc2007" else 0.5 + 0.5 * 2 / 3
    assert precision(found, there, rule) == pytest.approx(expected)


def test_ilsvrc_takes_the_next_free_box_and_voc_does_not() -> None:
    """Two overlapping boxes; both detections overlap the first one more."""
    there = [(0, 0, BOX), (0, 0, NEAR)]
    found = [(0, 0, 0.9, BOX), (0, 0, 0.8, [0, 0, 100, 95])]
    assert precision(found, there, "ilsvrc") == 1
    assert precision(found, there, "voc") == 0.5


def test_small_boxes_have_a_lower_threshold_in_ilsvrc_alone() -> None:
    small = [50, 50, 60, 60]  # 10 × 10: 100 / 400
    least = iou_thresholds(np.array([small, BOX], float), RULES["ilsvrc"])
    assert least.tolist() == [0.25, 0.5]
    shifted = [53, 53, 63, 63]  # IoU 49 / 151
    assert precision([(0, 0, 1.0, shifted)], [(0, 0, small)], "ilsvrc") == 1
    assert precision([(0, 0, 1.0, shifted)], [(0, 0, small)], "voc") == 0


def test_difficult_boxes_are_ignored() -> None:
    there = [(0, 0, BOX), (0, 0, FAR)]
    found = [(0, 0, 0.9, FAR), (0, 0, 0.8, FAR), (0, 0, 0.7, BOX)]
    assert precision(found, there, "voc2007", difficult=(1,)) == 1
    assert precision(found, there, "voc2007") < 1


@pytest.mark.parametrize("rule", RULES)
def test_any_number_of_detections_of_a_difficult_box_is_ignored(rule: str) -> None:
    found = [(0, 0, 0.9, FAR), (0, 0, 0.8, FAR), (0, 0, 0.7, BOX)]
    assert precision(found, [(0, 0, BOX), (0, 0, FAR)], rule, difficult=(1,)) == 1


def test_only_boxes_of_the_class_and_image_match() -> None:
    found = detections([(0, 0, 0.9, BOX), (1, 1, 0.9, BOX)])
    there = truths([(1, 0, BOX), (0, 1, BOX)])
    assert average_precisions(found, there, 3).tolist()[:2] == [0, 0]
    assert np.isnan(average_precisions(found, there, 3)[2])
    assert mean_average_precision(np.array([1, 0.5, np.nan])) == 75
    assert np.isnan(mean_average_precision(np.array([np.nan])))


def test_blacklisted_pairs_are_left_out() -> None:
    found = [(0, 0, 0.9, FAR), (1, 0, 0.8, BOX)]
    there = [(0, 0, BOX), (1, 0, BOX)]
    assert precision(found, there, "ilsvrc") == pytest.approx(0.5 * 0.5)
    assert precision(found, there, "ilsvrc", skipped={(0, 0)}) == 1


def test_no_detections_have_ap_0() -> None:
    nothing = DetectedBoxes(np.empty(0, int), np.empty(0, int), np.empty(0), np.empty((0, 4)))
    assert average_precisions(nothing, truths([(0, 0, BOX)]), 1).tolist() == [0]


def test_envelope_is_the_highest_precision_at_a_recall_or_above() -> None:
    rng = np.random.default_rng(0)
    recall, curve = precision_curve(rng.random(200) < 0.4, 100)
    heights = np.linspace(0, recall[-1], 200_001)[1:]
    places = np.searchsorted(recall, heights - 1e-12)
    best = np.maximum.accumulate(curve[::-1])[::-1]
    assert area_under_envelope(recall, curve) == pytest.approx(best[places].mean() * recall[-1], abs=1e-4)
    assert eleven_point_area(np.array([]), np.array([])) == 0


def random_scenes(images: int = 30) -> tuple[DetectedBoxes, TrueBoxes]:
    """Boxes much larger than ILSVRC's small ones, each detected up to twice with some error, and false positives."""
    rng = np.random.default_rng(5)
    there, found = [], []
    for image in range(images):
        for _ in range(rng.integers(1, 4)):
            label, corner = int(rng.integers(3)), rng.uniform(0, 300, 2)
            box = np.concatenate([corner, corner + rng.uniform(60, 150, 2)])
            there.append((image, label, box))
            for _ in range(rng.integers(0, 3)):
                found.append((image, label, rng.random(), box + rng.normal(0, 8, 4)))
        corner = rng.uniform(0, 300, 2)
        found.append((image, int(rng.integers(3)), rng.random() / 2, np.concatenate([corner, corner + 80])))
    return detections(found), truths(there)


def test_agrees_with_coco_except_for_its_101_recall_points() -> None:
    found, there = random_scenes()
    images = range(30)
    metric = MeanAveragePrecision(iou_thresholds=[0.5], backend="faster_coco_eval", class_metrics=True)
    metric.update(
        [
            {
                "boxes": torch.from_numpy(found.boxes[found.images == i]),
                "scores": torch.from_numpy(found.scores[found.images == i]),
                "labels": torch.from_numpy(found.labels[found.images == i]),
            }
            for i in images
        ],
        [
            {
                "boxes": torch.from_numpy(there.boxes[there.images == i]),
                "labels": torch.from_numpy(there.labels[there.images == i]),
            }
            for i in images
        ],
    )
    theirs = metric.compute()["map_per_class"].numpy()
    ours = average_precisions(found, there, 3, "ilsvrc")
    assert 0.3 < ours.min() < ours.max() < 0.95
    np.testing.assert_allclose(ours, theirs, atol=0.02)
