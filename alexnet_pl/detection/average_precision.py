"""Average precision of detections by the rules of ILSVRC DET (§5), PASCAL VOC 2007 and VOC since 2010.

The detections of a class, over all images, are processed in order of decreasing confidence. Each one either matches a
true box of its class in its image or is a false positive. The rules differ in how that box is chosen:

    ilsvrc    the unmatched box with the highest IoU of at least min(0.5, wh/((w+10)(h+10))); the lower threshold for
              boxes below about 25 pixels allows for an error of a few pixels (eval_detection.m)
    voc       the box with the highest IoU, at least 0.5; if it is already matched, the detection is a duplicate and
              a false positive; if it is `difficult`, the detection is ignored (VOCevaldet.m)
    voc2007   the same, with precision averaged at the eleven recalls 0, 0.1 … 1 instead of over the whole curve

Under all rules each box that is not difficult can be detected once; further detections of it are false positives.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alexnet_pl.detection.boxes import Boxes, box_sides, ious


class DetectedBoxes(NamedTuple):
    """Detections in a set of images, in any order."""

    images: np.ndarray  # (D,) int
    labels: np.ndarray  # (D,) int
    scores: np.ndarray  # (D,)
    boxes: Boxes  # (D, 4)


class TrueBoxes(NamedTuple):
    """Annotated boxes of a set of images, in any order."""

    images: np.ndarray  # (T,) int
    labels: np.ndarray  # (T,) int
    boxes: Boxes  # (T, 4)
    difficult: np.ndarray  # (T,) bool


@dataclass(frozen=True)
class MatchingRule:
    """How detections are matched and precisions averaged."""

    small_boxes: bool = False  # lower IoU threshold for small boxes
    match_next_best: bool = False  # whether a detection may match another box if the best one is already matched
    eleven_points: bool = False


RULES = {
    "ilsvrc": MatchingRule(small_boxes=True, match_next_best=True),
    "voc": MatchingRule(),
    "voc2007": MatchingRule(eleven_points=True),
}


def average_precisions(
    detections: DetectedBoxes,
    truths: TrueBoxes,
    classes: int,
    rule: str = "ilsvrc",
    skipped: Collection[tuple[int, int]] = (),
) -> np.ndarray:
    """Average precision of each class, (classes,), from 0 to 1; nan for a class without boxes.

    `skipped`: (image, class) pairs of a blacklist, whose boxes and detections are ignored.
    """
    return np.array(
        [class_average_precision(detections, truths, label, RULES[rule], skipped) for label in range(classes)]
    )


def mean_average_precision(precisions: np.ndarray) -> float:
    """Mean over the classes with boxes, in percent; nan if there are none."""
    return float(100 * np.nanmean(precisions)) if np.isfinite(precisions).any() else float("nan")


def class_average_precision(
    detections: DetectedBoxes, truths: TrueBoxes, label: int, rule: MatchingRule, skipped: Collection[tuple[int, int]]
) -> float:
    skipped_images = np.array([image for image, of in skipped if of == label], int)
    class_truths = (truths.labels == label) & ~np.isin(truths.images, skipped_images)
    class_detections = (detections.labels == label) & ~np.isin(detections.images, skipped_images)
    positives = int((class_truths & ~truths.difficult).sum())
    if not positives:
        return float("nan")
    right, counted = match_detections(
        DetectedBoxes(*(column[class_detections] for column in detections)),
        TrueBoxes(*(column[class_truths] for column in truths)),
        rule,
    )
    recall, precision = precision_curve(right[counted], positives)
    return eleven_point_area(recall, precision) if rule.eleven_points else area_under_envelope(recall, precision)


def match_detections(detections: DetectedBoxes, truths: TrueBoxes, rule: MatchingRule) -> tuple[np.ndarray, np.ndarray]:
    """Match the detections of a class with its true boxes.

    Returns two (D,) bool arrays in order of decreasing confidence: whether each detection is right, and whether it
    counts (it does not if it matches a difficult box).
    """
    order = np.argsort(-detections.scores, kind="stable")
    right, counted = np.zeros(len(order), bool), np.ones(len(order), bool)
    taken = np.zeros(len(truths.images), bool)
    by_image = {image: np.flatnonzero(truths.images == image) for image in np.unique(truths.images)}
    for rank, number in enumerate(order):
        candidates = by_image.get(detections.images[number], np.empty(0, int))
        if rule.match_next_best:
            candidates = candidates[~taken[candidates]]
        match = best_match(detections.boxes[number], truths.boxes[candidates], rule)
        if match is None:
            continue
        truth = candidates[match]
        counted[rank] = not truths.difficult[truth]
        right[rank] = counted[rank] and not taken[truth]
        taken[truth] = counted[rank]  # any number of detections of a difficult box count neither as right nor wrong
    return right, counted


def best_match(box: Boxes, truths: Boxes, rule: MatchingRule) -> int | None:
    """Index of the true box that a detection matches, or None."""
    if not len(truths):
        return None
    overlap = ious(box[None], truths)[0]
    overlap = np.where(overlap >= iou_thresholds(truths, rule), overlap, -1)
    return int(overlap.argmax()) if overlap.max() >= 0 else None


def iou_thresholds(truths: Boxes, rule: MatchingRule) -> np.ndarray:
    width, height = box_sides(truths).T
    small = width * height / ((width + 10) * (height + 10))
    return np.minimum(0.5, small) if rule.small_boxes else np.full(len(truths), 0.5)


def precision_curve(right: np.ndarray, positives: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall (D,) and precision (D,) after each detection."""
    true_positives = np.cumsum(right)
    return true_positives / positives, true_positives / np.arange(1, len(right) + 1)


def area_under_envelope(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the precision envelope, the smallest non-increasing curve above precision (VOCap.m)."""
    steps = np.concatenate([[0.0], recall, [1.0]])
    heights = np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(heights[::-1])[::-1]
    return float(np.sum(np.diff(steps) * envelope[1:]))


def eleven_point_area(recall: np.ndarray, precision: np.ndarray) -> float:
    points = np.linspace(0, 1, 11)
    return float(np.mean([precision[recall >= point - 1e-12].max(initial=0.0) for point in points]))
