"""Submission files of boxes for ILSVRC's test servers, which alone have the boxes of the test images (§4.4, §5).

    localisation  a line per image, by the number in its name: up to five guesses, best first, each
                  `label left top right bottom`
    detection     a line per box: `image label confidence left top right bottom`; images are numbered from 1 in the
                  order of their names, as in the development kit's test.txt

Labels are the kit's ids, from 1: ILSVRC2012_ID, or ILSVRC2013_DET_ID for detection. Edges are whole pixels of the
original file, from 0, right and bottom inclusive.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from alexnet_pl.data.store.store import Store
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.detection.boxes import Boxes
from alexnet_pl.detection.finder import PredictedBoxes
from alexnet_pl.evaluation.imagenet_names import DETECTION_TEST, TEST

NAMES = {"localise": TEST, "detect": DETECTION_TEST}  # by task: base names of the test images
NO_GUESS = "1 0 0 0 0"  # of an image that could not be read: every image needs a line


def why_not_submittable(store: Store, split: WholeSplit, task: str) -> str:
    """Reason why a server would not accept boxes of this split, or "" if it would."""
    names = [Path(name).name for name in split.names]
    if not store.manifest.ilsvrc_ids:
        return "the store has no ids of a development kit"
    if other := next((name for name in names if not NAMES[task].match(name)), None):
        return f"{other} is not a test image of ILSVRC"
    if task == "detect" and store.manifest.missing:
        return "the copy lacks files, and images are numbered by their order"
    if task == "detect" and any(name > after for name, after in pairwise(names)):
        return "images are numbered by their names, and the store has another order"
    return ""


def write_box_submission(
    path: Path, store: Store, split: WholeSplit, task: str, found: Mapping[int, PredictedBoxes]
) -> tuple[int, int]:
    """Write the file. `found`: image index → boxes in pixels of the original file, most confident first.

    Returns (lines, images without a box, which have a placeholder in localisation and no line in detection).
    """
    ids = store.manifest.ilsvrc_ids
    assert ids, "why_not_submittable() is empty"
    write = localisation_lines if task == "localise" else detection_lines
    lines = list(write(split, ids, found))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    records = len(lines) if task == "localise" else split.records
    return len(lines), records - sum(len(boxes.labels) > 0 for boxes in found.values())


def localisation_lines(split: WholeSplit, ids: Sequence[int], found: Mapping[int, PredictedBoxes]) -> Iterator[str]:
    """A line for each number from 1 to the last image's."""
    numbers = {image_number(name): index for index, name in enumerate(split.names)}
    for number in range(1, max(max(numbers), split.records) + 1):
        boxes = found.get(numbers.get(number, -1))
        if boxes is None or not len(boxes.labels):
            yield NO_GUESS
            continue
        edges = inclusive_pixels(boxes.boxes, split.original_sizes[numbers[number]])
        yield " ".join(f"{ids[label]} {box}" for label, box in zip(boxes.labels, edges, strict=True))


def image_number(name: str) -> int:
    match = NAMES["localise"].match(Path(name).name)
    assert match, "why_not_submittable() is empty"
    return int(match[1])


def detection_lines(split: WholeSplit, ids: Sequence[int], found: Mapping[int, PredictedBoxes]) -> Iterator[str]:
    for index, boxes in found.items():
        edges = inclusive_pixels(boxes.boxes, split.original_sizes[index])
        for label, score, box in zip(boxes.labels, boxes.scores, edges, strict=True):
            yield f"{split.slots[index] + 1} {ids[label]} {score:.6f} {box}"


def inclusive_pixels(boxes: Boxes, size: np.ndarray) -> list[str]:
    """`left top right bottom` of each box (N, 4): the pixels that it covers, at least one, in an image of `size`
    (height, width)."""
    last = np.array([size[1], size[0]] * 2) - 1
    edges = np.clip(np.round(boxes - [0, 0, 1, 1]), 0, last).astype(int)
    edges[:, 2:] = np.maximum(edges[:, 2:], edges[:, :2])
    return [" ".join(map(str, box)) for box in edges.tolist()]
