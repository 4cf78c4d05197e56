"""Average precision of detections by the rules of ILSVRC DET (§5), PASCAL VOC 2007 and VOC from 2010 on.

Detections of a class, over all images, are taken in the order of their confidence. Each is matched to a box of its
class in its image, or counts as false. The rules differ in which box that is:

    ilsvrc    the box not yet taken with the highest IoU of at least min(0.5, wh/((w+10)(h+10))), less for boxes below
              some 25 pixels, where a detection a few pixels off could not reach one half (eval_detection.m)
    voc       the box with the highest IoU, at least 0.5; if it is taken, the detection is a duplicate and false; if it
              is `difficult`, the detection does not count at all (VOCevaldet.m)
    voc2007   the same, and precision is averaged at eleven recalls 0, 0.1 … 1 instead of over the whole curve

Every box that is not difficult is to be found once; a second detection of it is false by all three.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alexnet_pl.detection.boxes import Boxes, ious, sides


class Detections(NamedTuple):
    """Boxes found in some images, in any order."""

    images: np.ndarray  # (D,) int
    labels: np.ndarray  # (D,) int
    scores: np.ndarray  # (D,)
    boxes: Boxes  # (D, 4)


class Truths(NamedTuple):
    images: np.ndarray  # (T,) int
    labels: np.ndarray  # (T,) int
    boxes: Boxes  # (T, 4)
    difficult: np.ndarray  # (T,) bool


@dataclass(frozen=True)
class Rule:
    small_boxes: bool = False  # a lower threshold for them
    taken_are_free: bool = False  # whether a detection may match the second best box where the best one is taken
    eleven_points: bool = False


RULES = {
    "ilsvrc": Rule(small_boxes=True, taken_are_free=True),
    "voc": Rule(),
    "voc2007": Rule(eleven_points=True),
}


def average_precisions(
    found: Detections, truths: Truths, classes: int, rule: str = "ilsvrc", skipped: Collection[tuple[int, int]] = ()
) -> np.ndarray:
    """(classes,) from 0 to 1; nan for a class of which no box is to be found.

    `skipped`: (image, class) pairs of a blacklist, which count on neither side.
    """
    return np.array([class_precision(found, truths, label, RULES[rule], skipped) for label in range(classes)])


def mean_average_precision(precisions: np.ndarray) -> float:
    """Percent, over the classes that occur; nan if none does."""
    return float(100 * np.nanmean(precisions)) if np.isfinite(precisions).any() else float("nan")


def class_precision(
    found: Detections, truths: Truths, label: int, rule: Rule, skipped: Collection[tuple[int, int]]
) -> float:
    left_out = np.array([image for image, of in skipped if of == label], int)
    mine = (truths.labels == label) & ~np.isin(truths.images, left_out)
    own = (found.labels == label) & ~np.isin(found.images, left_out)
    wanted = int((mine & ~truths.difficult).sum())
    if not wanted:
        return float("nan")
    right, counted = match_class(
        Detections(*(column[own] for column in found)), Truths(*(column[mine] for column in truths)), rule
    )
    recall, precision = precision_curve(right[counted], wanted)
    return eleven_point_area(recall, precision) if rule.eleven_points else area_under_envelope(recall, precision)


def match_class(found: Detections, truths: Truths, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """(D,) whether each detection of a class is right and (D,) whether it counts, in the order of confidence."""
    order = np.argsort(-found.scores, kind="stable")
    right, counted = np.zeros(len(order), bool), np.ones(len(order), bool)
    taken = np.zeros(len(truths.images), bool)
    by_image = {image: np.flatnonzero(truths.images == image) for image in np.unique(truths.images)}
    for place, number in enumerate(order):
        there = by_image.get(found.images[number], np.empty(0, int))
        if rule.taken_are_free:
            there = there[~taken[there]]
        match = best_match(found.boxes[number], truths.boxes[there], rule)
        if match is None:
            continue
        truth = there[match]
        counted[place] = not truths.difficult[truth]
        right[place] = counted[place] and not taken[truth]
        taken[truth] = True
    return right, counted


def best_match(box: Boxes, truths: Boxes, rule: Rule) -> int | None:
    """The index of the box that a detection is matched to."""
    if not len(truths):
        return None
    overlap = ious(box[None], truths)[0]
    overlap = np.where(overlap >= least_ious(truths, rule), overlap, -1)
    return int(overlap.argmax()) if overlap.max() >= 0 else None


def least_ious(truths: Boxes, rule: Rule) -> np.ndarray:
    width, height = sides(truths).T
    small = width * height / ((width + 10) * (height + 10))
    return np.minimum(0.5, small) if rule.small_boxes else np.full(len(truths), 0.5)


def precision_curve(right: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision after each detection."""
    hit = np.cumsum(right)
    return hit / wanted, hit / np.arange(1, len(right) + 1)


def area_under_envelope(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the least curve above precision that never rises with recall (VOCap.m)."""
    steps = np.concatenate([[0.0], recall, [1.0]])
    heights = np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(heights[::-1])[::-1]
    return float(np.sum(np.diff(steps) * envelope[1:]))


def eleven_point_area(recall: np.ndarray, precision: np.ndarray) -> float:
    points = np.linspace(0, 1, 11)
    return float(np.mean([precision[recall >= point - 1e-12].max(initial=0.0) for point in points]))
