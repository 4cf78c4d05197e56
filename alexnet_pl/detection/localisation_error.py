"""ILSVRC's localisation error (§4.4), as its development kit computes it, with baselines.

There are up to five guesses per image, each a class and a box. An image is right if a guess has its class *and* an
intersection over union of at least 0.50 with any box of that class: the kit's code counts "< 0.50" as wrong, although
texts say ">". For comparison, this module also computes the classification error, the box error with the class given,
and the error of a constant box, which is right for more than half of all photographs.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from alexnet_pl.detection.boxes import Boxes, as_boxes, ious
from alexnet_pl.evaluation.intervals import wilson_interval
from alexnet_pl.json_records import JsonObject

GUESSES = 5
MIN_IOU = 0.5
GRID = 20  # edges of the constant box are multiples of 1 / GRID


class LocalisedImage(NamedTuple):
    """Guesses for an image and its true boxes, in the image's pixels."""

    label: int
    truth: Boxes  # (T, 4) the boxes of that class
    labels: np.ndarray  # (up to 5,) guessed classes, best first
    boxes: Boxes  # (up to 5, 4)
    given_class: Boxes  # (1, 4), or (0, 4): the best box for the true class
    size: tuple[int, int]  # width and height


def is_hit(boxes: Boxes, truth: Boxes) -> np.ndarray:
    """(N,) whether each box has an IoU of at least `MIN_IOU` with a true box."""
    return np.any(ious(as_boxes(boxes), as_boxes(truth)) >= MIN_IOU, axis=1)


def is_localised(labels: Sequence[int] | np.ndarray, boxes: Boxes, label: int, truth: Boxes) -> bool:
    """Whether one of the first five guesses has the right class and an IoU of at least `MIN_IOU` with a true box."""
    named = np.asarray(labels)[:GUESSES] == label
    return bool((named & is_hit(as_boxes(boxes)[:GUESSES], truth)).any())


def localisation_errors(images: Sequence[LocalisedImage], constant: Boxes, skipped: Collection[int] = ()) -> JsonObject:
    """Compute errors in percent with 95 % intervals.

        loc_error                    localisation error over all images
        loc_error_without_blacklist  the same without the images in `skipped`, if there are any and others are left
        top1_error, top5_error       classification errors, whatever the boxes
        given_class_error            box error of the best box for the true class
        constant_box_error           box error of `constant`, (4,) edges from 0 to 1
        constant_box_loc_error       localisation error with the guessed classes and the constant box

    `skipped`: indices of images. The development kits since 2013 exclude 1,762 of the 50,000 validation images.
    """
    rows = [image_errors(image, constant) for image in images]
    errors: JsonObject = {"images": len(images)}
    for name in rows[0]:
        errors |= error_with_interval(name, [row[name] for row in rows])
    remaining = [row["loc_error"] for number, row in enumerate(rows) if number not in skipped]
    if skipped and remaining:
        errors |= error_with_interval("loc_error_without_blacklist", remaining)
    return errors


def image_errors(image: LocalisedImage, constant: Boxes) -> dict[str, bool]:
    """Whether each error of `localisation_errors` occurs in an image."""
    fixed = as_boxes(np.asarray(constant) * np.tile(np.asarray(image.size, float), 2))
    labels, constant_right = image.labels[:GUESSES], bool(is_hit(fixed, image.truth).any())
    class_guessed = bool((labels == image.label).any())
    return {
        "loc_error": not is_localised(labels, image.boxes, image.label, image.truth),
        "top1_error": not bool((labels[:1] == image.label).any()),
        "top5_error": not class_guessed,
        "given_class_error": not bool(is_hit(image.given_class, image.truth).any()),
        "constant_box_error": not constant_right,
        "constant_box_loc_error": not (class_guessed and constant_right),
    }


def error_with_interval(name: str, wrong: Sequence[bool]) -> JsonObject:
    count = int(np.sum(wrong))
    return {name: 100 * count / len(wrong), f"{name}_interval": wilson_interval(count, len(wrong))}


def best_constant_box(truths: Sequence[Boxes]) -> np.ndarray:
    """Box that is right for the most images, (4,) edges from 0 to 1; ties go to the highest mean IoU.

    `truths`: (T, 4) boxes of each training image, edges from 0 to 1. Rescaling an axis does not change an IoU.
    """
    edges = np.linspace(0, 1, GRID + 1)
    spans = np.array([(low, high) for i, low in enumerate(edges) for high in edges[i + 1 :]])
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(len(spans)), np.arange(len(spans))))
    candidates = np.stack([spans[x, 0], spans[y, 0], spans[x, 1], spans[y, 1]], 1)
    candidates = candidates[np.prod(candidates[:, 2:] - candidates[:, :2], 1) >= 0.02]
    right, overlap = np.zeros(len(candidates)), np.zeros(len(candidates))
    for truth in truths:
        best = ious(candidates, as_boxes(truth)).max(1)
        right += best >= MIN_IOU
        overlap += best
    return candidates[np.lexsort((overlap, right))[-1]]
