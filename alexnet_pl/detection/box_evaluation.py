"""Evaluation of boxes on a split: ILSVRC's localisation error of a localiser, average precision of a detector."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track

from alexnet_pl.config.box_options import DetectOptions
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.detection.average_precision import Detections, Truths, average_precisions, mean_average_precision
from alexnet_pl.detection.boxes import as_boxes
from alexnet_pl.detection.finder import BoxFinder, Found
from alexnet_pl.detection.localisation_error import Localised, best_constant_box, localisation_errors
from alexnet_pl.detection.mistakes import count_mistakes, sort_mistakes
from alexnet_pl.errors import UserError

BASELINE_IMAGES = 5000  # whose boxes choose the constant box


class Tested(NamedTuple):
    """What a test leaves: figures for boxes.json, and the boxes of all images with the truth."""

    numbers: dict[str, Any]
    found: Detections
    truths: Truths


def evaluate_localiser(finder: BoxFinder, split: WholeSplit, train: WholeSplit, options: DetectOptions) -> Tested:
    """Localisation error over the images that have a class and a box of it."""
    numbers, answers, kept = [], [], []
    for number, found, given in localised_images(finder, split):
        label = int(split.labels[number])
        height, width = split.sizes[number].tolist()
        truth = truth_boxes(split, number)
        best = given.boxes[given.labels == label][:1]
        answers.append(Localised(label, truth[1][truth[0] == label], found.labels, found.boxes, best, (width, height)))
        numbers.append(number)
        kept.append(found)
    if not answers:
        raise UserError(f"data.root: no image of {split.name} has a class and a box of it")
    listed = blacklist(options.blacklist)
    skipped = {place for place, number in enumerate(numbers) if number in listed}
    constant = best_constant_box(relative_boxes(train))
    figures = localisation_errors(answers, constant, skipped)
    figures["constant_box"] = [round(float(edge), 3) for edge in constant]
    return Tested(figures, detections(numbers, kept), truths_of(split))


def localised_images(finder: BoxFinder, split: WholeSplit) -> Iterator[tuple[int, Found, Found]]:
    """(number, guesses, boxes of the true class among others) of each image that has a box of its class."""
    for number in track(range(len(split)), split.name, transient=True):
        label = int(split.labels[number])
        if label < 0 or not (truth_boxes(split, number)[0] == label).any():
            continue
        some = finder.candidates(split.image(number), also=[label])
        found = finder.guesses(finder.combine(some.some(~some.asked)))
        yield number, found, finder.combine(some.some(some.labels == label))


def evaluate_detector(finder: BoxFinder, split: WholeSplit, options: DetectOptions) -> Tested:
    """Average precision over all images, and mistakes by kind among as many detections as there are boxes."""
    kept = [finder.find(split.image(number)) for number in track(range(len(split)), split.name, transient=True)]
    found, truths = detections(list(range(len(split))), kept), truths_of(split)
    if not len(truths.images):
        raise UserError(f"data.root: no image of {split.name} has a box")
    precisions = average_precisions(found, truths, finder.network.objects, options.rule)
    surest = most_confident(found, int((~truths.difficult).sum()))
    numbers = {
        "images": len(split),
        "objects": len(truths.images),
        "map": mean_average_precision(precisions),
        "average_precisions": [None if np.isnan(value) else round(100 * float(value), 2) for value in precisions],
        "mistakes": count_mistakes(*sort_mistakes(surest, truths)),
    }
    return Tested(numbers, found, truths)


def most_confident(found: Detections, count: int) -> Detections:
    kept = np.argsort(-found.scores, kind="stable")[:count]
    return Detections(*(column[kept] for column in found))


def detections(numbers: list[int], found: list[Found]) -> Detections:
    counts = [len(each.labels) for each in found]
    return Detections(
        np.repeat(np.array(numbers, int), counts),
        np.concatenate([each.labels for each in found]).astype(int),
        np.concatenate([each.scores for each in found]),
        np.concatenate([as_boxes(each.boxes) for each in found]),
    )


def truth_boxes(split: WholeSplit, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (N,), boxes (N, 4) in stored pixels, and which are difficult (N,)."""
    boxes = split.boxes(number).double().numpy()
    return split.box_labels(number).numpy(), boxes, split.box_difficult(number).numpy()


def truths_of(split: WholeSplit) -> Truths:
    rows = [truth_boxes(split, number) for number in range(len(split))]
    images = np.repeat(np.arange(len(split)), [len(labels) for labels, _, _ in rows])
    labels, boxes, difficult = (np.concatenate(column) for column in zip(*rows, strict=True))
    kept = labels >= 0
    return Truths(images[kept], labels[kept], boxes[kept], difficult[kept].astype(bool))


def relative_boxes(split: WholeSplit) -> list[np.ndarray]:
    """Boxes of some training images' own classes, edges from 0 to 1."""
    found = []
    for number in np.flatnonzero(split.box_counts() > 0)[:BASELINE_IMAGES].tolist():
        labels, boxes, _ = truth_boxes(split, number)
        own = labels == split.labels[number]
        if own.any():
            height, width = split.sizes[number].tolist()
            found.append(boxes[own] / np.array([width, height, width, height]))
    if not found:
        raise UserError("data.root: no training image has a box of its class, from which a constant box is chosen")
    return found


def blacklist(path: str | None) -> set[int]:
    """Indices of the images that a devkit's list names by numbers from 1."""
    if path is None:
        return set()
    try:
        return {int(line) - 1 for line in Path(path).read_text().split()}
    except (OSError, ValueError) as error:
        raise UserError(f"detect.blacklist: {path}: not a list of image numbers ({error})") from error
