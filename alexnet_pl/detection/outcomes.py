"""Outcome of each detection, right or a kind of mistake, and the missed boxes."""

from collections import Counter

import numpy as np

from alexnet_pl.detection.average_precision import DetectedBoxes, TrueBoxes
from alexnet_pl.detection.boxes import ious
from alexnet_pl.evaluation.box_result import OUTCOMES

RIGHT, DOUBLE, MISPLACED, WRONG_CLASS, BACKGROUND, MISSED = OUTCOMES
MATCH_IOU = 0.5
BACKGROUND_IOU = 0.1  # a detection with a lower IoU counts as background


def classify_detections(detections: DetectedBoxes, truths: TrueBoxes) -> tuple[np.ndarray, np.ndarray]:
    """Outcome of each detection, (D,), and whether each true box was missed, (T,).

        right         IoU of at least 0.5 with a box of its class that no more confident detection matched
        double        IoU of at least 0.5 with a box of its class that is already matched
        wrong class   IoU of at least 0.5 with a box of another class
        badly placed  IoU of at least 0.1 with a box of its class
        background    otherwise

    The first outcome that applies is given. Difficult boxes do not count as missed; a detection of one is right.
    """
    kinds = np.full(len(detections.images), BACKGROUND, dtype=object)
    taken = np.zeros(len(truths.images), bool)
    for number in np.argsort(-detections.scores, kind="stable"):
        candidates = np.flatnonzero(truths.images == detections.images[number])
        if not len(candidates):
            continue
        overlap = ious(detections.boxes[number : number + 1], truths.boxes[candidates])[0]
        same_class = truths.labels[candidates] == detections.labels[number]
        kinds[number], match = classify_detection(overlap, same_class, taken[candidates])
        if match is not None:
            taken[candidates[match]] = True
    return kinds, ~taken & ~truths.difficult


def classify_detection(overlap: np.ndarray, same_class: np.ndarray, taken: np.ndarray) -> tuple[str, int | None]:
    """(outcome, index of the matched box or None) of a detection with these overlaps."""
    free = np.where(same_class & ~taken, overlap, -1)
    if free.max() >= MATCH_IOU:
        return RIGHT, int(free.argmax())
    if np.where(same_class, overlap, -1).max() >= MATCH_IOU:
        return DOUBLE, None
    if np.where(same_class, -1, overlap).max() >= MATCH_IOU:
        return WRONG_CLASS, None
    return (MISPLACED if np.where(same_class, overlap, -1).max() >= BACKGROUND_IOU else BACKGROUND), None


def count_outcomes(kinds: np.ndarray, missed: np.ndarray) -> dict[str, int]:
    """Outcome → count, in the order of `OUTCOMES`."""
    counts = Counter(kinds.tolist())
    return {kind: int(missed.sum()) if kind == MISSED else counts[kind] for kind in OUTCOMES}
