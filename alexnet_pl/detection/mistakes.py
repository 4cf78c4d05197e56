"""Mistakes of a detector by kind: what is missed, and why a detection is false (compare Figure 11's systems)."""

from collections import Counter

import numpy as np

from alexnet_pl.detection.average_precision import Detections, Truths
from alexnet_pl.detection.boxes import ious

RIGHT, DOUBLE, MISPLACED, WRONG_CLASS, BACKGROUND, MISSED = KINDS = (
    "right",
    "double",
    "badly placed",
    "wrong class",
    "background",
    "missed",
)
NEAR = 0.1  # a detection that overlaps less has found nothing


def sort_mistakes(found: Detections, truths: Truths, least: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """(D,) the kind of each detection and (T,) whether each box was missed.

        right         IoU of at least `least` with a box of its class that no surer detection has taken
        double        with one that is taken
        wrong class   with a box of another class
        badly placed  IoU of at least 0.1 with a box of its class
        background    else

    The first that fits. Difficult boxes are not missed; a detection of one is right.
    """
    kinds = np.full(len(found.images), BACKGROUND, dtype=object)
    taken = np.zeros(len(truths.images), bool)
    for number in np.argsort(-found.scores, kind="stable"):
        there = np.flatnonzero(truths.images == found.images[number])
        if not len(there):
            continue
        overlap = ious(found.boxes[number : number + 1], truths.boxes[there])[0]
        own = truths.labels[there] == found.labels[number]
        kinds[number], match = kind_of_detection(overlap, own, taken[there], least)
        if match is not None:
            taken[there[match]] = True
    return kinds, ~taken & ~truths.difficult


def kind_of_detection(overlap: np.ndarray, own: np.ndarray, taken: np.ndarray, least: float) -> tuple[str, int | None]:
    """The kind, and which box was found, of a detection with these overlaps."""
    free = np.where(own & ~taken, overlap, -1)
    if free.max() >= least:
        return RIGHT, int(free.argmax())
    if np.where(own, overlap, -1).max() >= least:
        return DOUBLE, None
    if np.where(own, -1, overlap).max() >= least:
        return WRONG_CLASS, None
    return (MISPLACED if np.where(own, overlap, -1).max() >= NEAR else BACKGROUND), None


def count_mistakes(kinds: np.ndarray, missed: np.ndarray) -> dict[str, int]:
    """How many of each kind, in the order of `KINDS`."""
    counts = Counter(kinds.tolist())
    return {kind: int(missed.sum()) if kind == MISSED else counts[kind] for kind in KINDS}
