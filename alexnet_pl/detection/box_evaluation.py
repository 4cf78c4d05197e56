"""Evaluation on a split: ILSVRC's localisation error of a localiser (§4.4), average precision of a detector (§5)."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from alexnet_pl.config.box_options import DetectOptions
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.detection.average_precision import DetectedBoxes, TrueBoxes, average_precisions, mean_average_precision
from alexnet_pl.detection.blacklist import read_image_blacklist, read_object_blacklist
from alexnet_pl.detection.boxes import as_boxes
from alexnet_pl.detection.finder import BoxFinder, PredictedBoxes
from alexnet_pl.detection.localisation_error import LocalisedImage, best_constant_box, localisation_errors
from alexnet_pl.detection.outcomes import classify_detections, count_outcomes
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.imagenet_names import validation_number
from alexnet_pl.json_records import JsonObject
from alexnet_pl.progress import track

BASELINE_IMAGES = 5000  # training images from which the constant box is chosen
SomeBoxes = TypeVar("SomeBoxes", DetectedBoxes, TrueBoxes)


class BoxTest(NamedTuple):
    """Result of a test: `numbers` for boxes.json, the detections in all images and the true boxes, in stored pixels."""

    numbers: JsonObject
    detections: DetectedBoxes
    truths: TrueBoxes


def evaluate_localiser(finder: BoxFinder, split: WholeSplit, train: WholeSplit, options: DetectOptions) -> BoxTest:
    """Compute the localisation error over the images that have a class and a box of that class.

    Raises UserError if there are none.
    """
    blacklisted = read_image_blacklist(options.blacklist, split)  # first: an error in the file must not waste a test
    constant = best_constant_box(relative_boxes(train))
    numbers, answers, guesses = [], [], []
    for number, guess, class_given in iterate_localised(finder, split):
        label = int(split.labels[number])
        height, width = split.sizes[number].tolist()
        truth = read_true_boxes(split, number)
        best = class_given.boxes[class_given.labels == label][:1]
        answers.append(
            LocalisedImage(label, truth[1][truth[0] == label], guess.labels, guess.boxes, best, (width, height))
        )
        numbers.append(number)
        guesses.append(guess)
    if not answers:
        raise UserError(f"data.root: no image of {split.name} has a class and a box of it")
    skipped = {index for index, number in enumerate(numbers) if number in blacklisted}
    figures = localisation_errors(answers, constant, skipped)
    figures["constant_box"] = [round(float(edge), 3) for edge in constant]
    return BoxTest(figures, concat_detections(numbers, guesses), collect_true_boxes(split))


def iterate_localised(finder: BoxFinder, split: WholeSplit) -> Iterator[tuple[int, PredictedBoxes, PredictedBoxes]]:
    """Yield (image index, guesses, predicted boxes of the true class) for each image with a box of its class."""
    for number in track(range(len(split)), "Testing", len(split)):
        label = int(split.labels[number])
        if label < 0 or not (read_true_boxes(split, number)[0] == label).any():
            continue
        candidates = finder.candidates(split.image(number), requested=[label])
        boxes, own = finder.combine(candidates.select(~candidates.requested)), candidates.labels == label
        if candidates.requested[own].any():
            class_given = finder.combine(candidates.select(own))
        else:  # merged already
            class_given = boxes.select(boxes.labels == label)
        yield number, finder.select_guesses(boxes), class_given


def evaluate_detector(finder: BoxFinder, split: WholeSplit, options: DetectOptions, wnids: Sequence[str]) -> BoxTest:
    """Compute average precision over all images, and count the outcomes of the most confident detections.

    Average precision is computed in pixels of the original files, in which ILSVRC's rule says what a small box is. As
    many detections are counted as there are true boxes that are not difficult. With `options.blacklist`, the result
    also has `map_without_blacklist`, None if the list has all boxes. `wnids`: WordNet ids of the classes. Raises
    UserError, before any image is searched, if no image has a box that is not difficult.
    """
    blacklisted, truths = read_object_blacklist(options.blacklist, split, wnids), collect_true_boxes(split)
    counted = int((~truths.difficult).sum())
    if not counted:
        raise UserError(f"data.root: no image of {split.name} has a box that is not difficult")
    detected = find_in_all(finder, split)
    original = to_original_pixels(detected, split), to_original_pixels(truths, split), finder.network.num_objects
    precisions = average_precisions(*original, options.rule)
    numbers = {
        "images": len(split),
        "objects": len(truths.images),
        "map": mean_average_precision(precisions),
        "average_precisions": [None if np.isnan(value) else round(100 * float(value), 2) for value in precisions],
        "mistakes": count_outcomes(*classify_detections(select_most_confident(detected, counted), truths)),
    }
    if blacklisted:
        others = mean_average_precision(average_precisions(*original, options.rule, blacklisted))
        numbers["map_without_blacklist"] = None if math.isnan(others) else others
    return BoxTest(numbers, detected, truths)


def find_in_all(finder: BoxFinder, split: WholeSplit, guesses: bool = False) -> DetectedBoxes:
    """Boxes in all images of a split. `guesses`: only those for the localisation error, one of each of five classes."""
    numbers = range(len(split))
    boxes = [finder.find(split.image(number)) for number in track(numbers, "Testing", len(numbers))]
    return concat_detections(list(numbers), [finder.select_guesses(each) for each in boxes] if guesses else boxes)


def count_classification_images(split: WholeSplit) -> int:
    """Number of images that are also ILSVRC-2012's validation images for classification: 15,522 of the 20,121 for
    detection. A network for classification may have been chosen by its errors on them, or trained on them."""
    return sum(validation_number(name) is not None for name in split.names)


def select_most_confident(detections: DetectedBoxes, count: int) -> DetectedBoxes:
    top = np.argsort(-detections.scores, kind="stable")[:count]
    return DetectedBoxes(*(column[top] for column in detections))


def concat_detections(numbers: list[int], boxes: list[PredictedBoxes]) -> DetectedBoxes:
    counts = [len(each.labels) for each in boxes]
    return DetectedBoxes(
        np.repeat(np.array(numbers, int), counts),
        np.concatenate([each.labels for each in boxes]).astype(int),
        np.concatenate([each.scores for each in boxes]),
        np.concatenate([as_boxes(each.boxes) for each in boxes]),
    )


def read_true_boxes(split: WholeSplit, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (N,), boxes (N, 4) in stored pixels, and difficult flags (N,)."""
    boxes = split.boxes(number).double().numpy()
    return split.box_labels(number).numpy(), boxes, split.box_difficult(number).numpy()


def collect_true_boxes(split: WholeSplit) -> TrueBoxes:
    rows = [read_true_boxes(split, number) for number in range(len(split))]
    images = np.repeat(np.arange(len(split)), [len(labels) for labels, _, _ in rows])
    labels, boxes, difficult = (np.concatenate(column) for column in zip(*rows, strict=True))
    known = labels >= 0
    return TrueBoxes(images[known], labels[known], boxes[known], difficult[known].astype(bool))


def to_original_pixels(found: SomeBoxes, split: WholeSplit) -> SomeBoxes:
    """Boxes in stored pixels → boxes in pixels of the original files."""
    height, width = (split.original_sizes / split.sizes)[found.images].T
    return found._replace(boxes=found.boxes * np.stack([width, height, width, height], 1))


def relative_boxes(split: WholeSplit) -> list[np.ndarray]:
    """Boxes of the image's class for up to `BASELINE_IMAGES` training images, with edges from 0 to 1.

    The images are spread over the split, because stores are in the order of the classes. Raises UserError if there are
    none.
    """
    boxes_by_image = []
    boxed = np.flatnonzero(split.box_counts() > 0)
    for number in boxed[:: max(1, math.ceil(len(boxed) / BASELINE_IMAGES))].tolist():
        labels, boxes, _ = read_true_boxes(split, number)
        own = labels == split.labels[number]
        if own.any():
            height, width = split.sizes[number].tolist()
            boxes_by_image.append(boxes[own] / np.array([width, height, width, height]))
    if not boxes_by_image:
        raise UserError("data.root: no training image has a box of its class, from which a constant box is chosen")
    return boxes_by_image
