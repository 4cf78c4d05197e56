"""Window sampling for detector training (§5): objects, and negatives chosen on the fly.

A detector has one more class, background. Other systems train, mine the whole set for hard negatives and train again.
Here the current network scores the windows of each image, and some background windows are used at once: a few at random
and the hardest, those with the lowest probability of background.
"""

from typing import NamedTuple

import numpy as np

from alexnet_pl.detection.boxes import Boxes, ious

POSITIVE, NEGATIVE = 0.5, 0.3  # IoU from which a window is an object, and below which it is background


class SampledWindows(NamedTuple):
    """Indices of the sampled windows, their classes (`background` without an object) and box indices (−1: none)."""

    windows: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray


def sample_windows(
    windows: Boxes,
    boxes: Boxes,
    labels: np.ndarray,
    difficulty: np.ndarray,
    counts: tuple[int, int, int],
    background: int,
    generator: np.random.Generator,
    negatives: bool = True,
) -> SampledWindows:
    """Sample from the windows (N, 4) of an image with boxes (M, 4). `labels`: (M,) classes, −1 for any other object.

    A window has the class of the box with the highest IoU if that is at least 0.5, is background below 0.3, and is not
    used in between. `difficulty`: (N,) 1 − the probability of background. `counts`: maximum numbers of windows with an
    object, of random and of hard background windows. `negatives=False`: not all objects are annotated, so no
    background windows are used.
    """
    most_objects, most_random, most_hard = counts
    best, highest = closest_boxes(windows, boxes)
    positives = np.flatnonzero(highest >= POSITIVE)
    positives = positives[labels[best[positives]] >= 0]
    objects = np.sort(generator.permutation(positives)[:most_objects])
    others = np.flatnonzero(highest < NEGATIVE) if negatives else np.empty(0, int)
    picked = pick_background(others, difficulty, most_random, most_hard, generator)
    return SampledWindows(
        np.concatenate([objects, picked]),
        np.concatenate([labels[best[objects]], np.full(len(picked), background)]),
        np.concatenate([best[objects], np.full(len(picked), -1)]),
    )


def closest_boxes(windows: Boxes, boxes: Boxes) -> tuple[np.ndarray, np.ndarray]:
    """Index of the box with the highest IoU of each window, and that IoU, (N,); 0 and 0 if there are no boxes."""
    if not len(boxes):
        return np.zeros(len(windows), int), np.zeros(len(windows))
    overlap = ious(windows, boxes)
    return overlap.argmax(1), overlap.max(1)


def pick_background(
    numbers: np.ndarray, difficulty: np.ndarray, random: int, hard: int, generator: np.random.Generator
) -> np.ndarray:
    """Pick the `hard` hardest of the windows `numbers`, and `random` others at random, without repetition."""
    hardest = numbers[np.argsort(-difficulty[numbers], kind="stable")[:hard]]
    remaining = np.setdiff1d(numbers, hardest)
    return np.sort(np.concatenate([hardest, generator.permutation(remaining)[:random]])).astype(int)
