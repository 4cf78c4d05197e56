"""Weights of an ensemble's members: the authors' search (avg-valid.py), and the images that it uses."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.ensemble_members import zip_blocks
from alexnet_pl.evaluation.prediction_file import PredictionFile, probabilities_float64, select_images

GRID = np.arange(21) / 20  # avg-valid.py: 0 … 1 in steps of 0.05
PASSES = 5

Mask = Callable[[list[str]], np.ndarray]
"""Image names (N) → (N,) bool: the images to use."""


def tune_weights(readers: Sequence[PredictionFile], mask: Mask) -> list[float]:
    """Coordinate search of avg-valid.py for the weights with the lowest top-5 error on the masked images.

    Starts at 0.5 each. Up to five times, each weight in turn moves to the best value of `GRID` if it is better than the
    current one.
    """
    weights = [0.5] * len(readers)
    for _ in range(PASSES):
        previous = list(weights)
        for index in range(len(readers)):
            wrong = grid_errors(readers, weights, index, mask)
            current = int(np.flatnonzero(np.isclose(GRID, weights[index]))[0])
            if wrong.min() < wrong[current]:
                weights[index] = float(GRID[wrong.argmin()])
        if weights == previous:
            break
    return weights


def grid_errors(readers: Sequence[PredictionFile], weights: Sequence[float], index: int, mask: Mask) -> np.ndarray:
    """(21,): top-5 errors on the masked images for each value of weight `index`. Ties and probabilities that are not
    finite count as errors.

    Raises UserError for an image without a label.
    """
    wrong = np.zeros(len(GRID), np.int64)
    for blocks in zip_blocks(readers):
        masked = [select_images(block, mask(block.images)) for block in blocks]
        labels = masked[0].labels.astype(np.int64)[:, None]
        if (labels < 0).any():
            raise UserError(
                f"ensemble.weights=tuned: {readers[0].path} has images without labels; leave the weights equal, or "
                "choose a split whose labels are known with test.split=…"
            )
        arrays = [probabilities_float64(block) for block in masked]
        member = arrays.pop(index)
        others = weighted_sum([member * 0, *arrays], [0, *weights[:index], *weights[index + 1 :]])
        for i, value in enumerate(GRID):
            scores = others + value * member
            below = scores < np.take_along_axis(scores, labels, 1)  # false for NaN
            wrong[i] += int(((~below).sum(1) > 5).sum())
    return wrong


def weighted_sum(arrays: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Σ w · a, summed in the given order."""
    total = np.zeros_like(arrays[0])
    for array, weight in zip(arrays, weights, strict=True):
        total += weight * array
    return total


def all_images(images: list[str]) -> np.ndarray:
    return np.ones(len(images), bool)


def hash_half(images: Iterable[str]) -> np.ndarray:
    """Mask of `tune_on=half`: about half of the images, chosen by the SHA-256 of the name."""
    return np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for name in images], bool)
