"""ReaL labels: reassessed labels of the ILSVRC-2012 validation images, any number per image (Beyer et al., 2020).

`real.json` has a list of class indices for each image, in the order of image numbers; class indices follow the sorted
WordNet ids, as in stores. Images with an empty list are left out. A prediction is correct if it is in the list.
"""

import json
from pathlib import Path

import numpy as np

from alexnet_pl.errors import UserError, reason
from alexnet_pl.evaluation.imagenet_names import validation_number
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.json_records import parse_items

LARGEST = 2**24  # bytes; real.json has 0.4 million


def read_real(path: Path, classes: int) -> list[set[int]]:
    """Read the labels of each image. Raises UserError if the file is not real.json."""
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size > LARGEST):  # reading a pipe would not end
            raise ValueError(f"no file of at most {LARGEST:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        labels = [set(one) for one in parse_items(content, list[list[int]], "content")]
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"test.labels: {path}: not ReaL's real.json ({reason(error)})") from error
    if not any(labels) or not all(0 <= label < classes for one in labels for label in one):
        raise UserError(f"test.labels: {path}: not lists of classes from 0 to {classes - 1}")
    return labels


def real_errors(probabilities: Path, labels: list[set[int]]) -> dict[str, float]:
    """Compute errors in percent from saved probabilities; `count` is the number of images with a label, `nonfinite` of
    those with scores that are not finite, which count as wrong.

    Raises UserError for images that are not ILSVRC-2012's validation images.
    """
    right1, right5, count, nonfinite = 0, 0, 0, 0
    for block in PredictionFile(probabilities).blocks(probabilities=False):
        for name, best in zip(block.images, block.best, strict=True):
            right = labels[image_index(name, len(labels))]
            if not right:
                continue
            hits = np.isin(best, list(right))
            right1, right5, count = right1 + int(hits[0]), right5 + int(hits.any()), count + 1
            nonfinite += int(best[0] < 0)
    if not count:
        raise UserError("test.labels: none of the images has a label")
    errors = {"top1_error": 100 * (count - right1) / count, "top5_error": 100 * (count - right5) / count}
    return {**errors, "count": count, "nonfinite": nonfinite}


def image_index(name: str, images: int) -> int:
    number = validation_number(name)
    if number is None or not 1 <= number <= images:
        raise UserError(f"test.labels: {name} is not one of the {images:,} validation images of ILSVRC-2012")
    return number - 1
