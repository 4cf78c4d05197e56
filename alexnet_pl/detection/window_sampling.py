"""Choice of the windows of an image that a detector learns from (§5): objects, and background picked on the fly.

A detector must also answer that there is nothing, so it has one more class. Others train, search the whole set for
mistakes, and train again; here the windows of each image are scored by the network as it is now, and some of those that
are background are learned from at once: a few at random, and the most offending.
"""

from typing import NamedTuple

import numpy as np

from alexnet_pl.detection.boxes import Boxes, ious

POSITIVE, NEGATIVE = 0.5, 0.3  # intersection over union from which a window is the object, below which background


class Sampled(NamedTuple):
    """Numbers of windows, the class of each (`background` where there is no object), and the box of each (−1: none)."""

    windows: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray


def sample_windows(
    windows: Boxes,
    boxes: Boxes,
    labels: np.ndarray,
    offending: np.ndarray,
    counts: tuple[int, int, int],
    background: int,
    chance: np.random.Generator,
    negatives: bool = True,
) -> Sampled:
    """Windows (N, 4) of an image with boxes (M, 4) of classes `labels` (M,), −1 for objects of no class.

    A window is the class of the box that it overlaps most, if by an intersection over union of at least 0.5; background
    below 0.3; between, it is not learned from. `offending`: (N,) how little each looks like background. `counts`: at
    most so many windows with an object, background at random, and most offending background. Without `negatives` the
    image says nothing about background, since not all of its objects have boxes.
    """
    overlap = ious(windows, boxes)
    best = overlap.argmax(1) if len(boxes) else np.zeros(len(windows), int)
    most = overlap.max(1) if len(boxes) else np.zeros(len(windows))
    positives = np.flatnonzero(most >= POSITIVE)
    positives = positives[labels[best[positives]] >= 0] if len(positives) else positives
    kept = np.sort(chance.permutation(positives)[: counts[0]])
    others = pick_background(np.flatnonzero(most < NEGATIVE), offending, counts[1:], chance) if negatives else kept[:0]
    classes = labels[best[kept]] if len(boxes) else np.empty(0, int)
    return Sampled(
        np.concatenate([kept, others]),
        np.concatenate([classes, np.full(len(others), background)]).astype(int),
        np.concatenate([best[kept], np.full(len(others), -1)]).astype(int),
    )


def pick_background(
    numbers: np.ndarray, offending: np.ndarray, counts: tuple[int, ...], chance: np.random.Generator
) -> np.ndarray:
    """Some of the windows `numbers`, each once: the most offending, and others at random."""
    random, hard = counts
    worst = numbers[np.argsort(-offending[numbers], kind="stable")[:hard]]
    left = np.setdiff1d(numbers, worst)
    return np.sort(np.concatenate([worst, chance.permutation(left)[:random]])).astype(int)
