"""Evaluation of boxes: images that were made smaller for the store, and the constant box of the localisation test."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from alexnet_pl.commands.box_test import by_number
from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.detection import box_evaluation
from alexnet_pl.detection.average_precision import DetectedBoxes
from alexnet_pl.detection.box_evaluation import (
    count_classification_images,
    evaluate_detector,
    evaluate_localiser,
    iterate_localised,
    relative_boxes,
)
from alexnet_pl.detection.box_network import WindowOutputs
from alexnet_pl.detection.finder import BoxFinder, PredictedBoxes
from alexnet_pl.detection.pyramid import window_grid
from alexnet_pl.errors import UserError
from alexnet_pl.models.sliding_window import WindowGeometry

CPU = torch.device("cpu")

TRUTH, FOUND = [10.0, 10, 20, 20], [15.0, 10, 25, 20]  # IoU 1/3


class OneBoxSplit:
    """A 100 × 50 image as stored, with one 10 × 10 box; `shrunk`: how many times as large its file is."""

    name = "val"

    def __init__(self, shrunk: int) -> None:
        self.sizes = np.array([[100, 50]])
        self.original_sizes = shrunk * self.sizes

    def __len__(self) -> int:
        return 1

    def image(self, number: int) -> torch.Tensor:
        return torch.zeros(3, 100, 50, dtype=torch.uint8)

    def boxes(self, number: int) -> torch.Tensor:
        return torch.tensor([TRUTH])

    def box_labels(self, number: int) -> torch.Tensor:
        return torch.tensor([0])

    def box_difficult(self, number: int) -> torch.Tensor:
        return torch.tensor([False])


class ClassedSplit(OneBoxSplit):
    """Images of two classes, in their order, with one box each of its own place."""

    def __init__(self, images: int) -> None:
        self.labels = np.arange(images) * 2 // images
        self.sizes = np.tile([100, 50], (images, 1))

    def __len__(self) -> int:
        return len(self.labels)

    def box_counts(self) -> np.ndarray:
        return np.ones(len(self), int)

    def box_labels(self, number: int) -> torch.Tensor:
        return torch.tensor([self.labels[number]])

    def boxes(self, number: int) -> torch.Tensor:
        return torch.tensor([[0.0, 50 * self.labels[number], 50, 50 + 50 * self.labels[number]]])


def test_images_of_the_classification_task_are_counted() -> None:
    names = [f"val/ILSVRC2013_DET_val/ILSVRC201{year}_val_{n:08d}.JPEG" for year, n in ((2, 18), (2, 44_972), (3, 565))]
    split: Any = SimpleNamespace(names=[*names, "val/holiday.JPEG"])
    assert count_classification_images(split) == 2


@pytest.mark.parametrize("images", [1, 8, 9, 40])
def test_constant_box_is_chosen_from_images_of_all_classes(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    monkeypatch.setattr(box_evaluation, "BASELINE_IMAGES", 8)
    split: Any = ClassedSplit(images)
    boxes = relative_boxes(split)
    assert min(images, 4) <= len(boxes) <= 8
    lower = sum(box[0, 1] == 0.5 for box in boxes)
    assert abs(len(boxes) - 2 * lower) <= 1


def test_constant_box_is_chosen_before_the_images_are_searched() -> None:
    def search(*_: object, **__: object) -> None:
        raise AssertionError("searched an image")

    split, train, finder = ClassedSplit(2), ClassedSplit(2), SimpleNamespace(candidates=search)
    train.labels = np.array([1, 0])
    train.box_labels = lambda number: torch.tensor([5])  # type: ignore[method-assign]
    with pytest.raises(UserError, match="no training image has a box of its class"):
        evaluate_localiser(finder, split, train, DetectOptions())  # type: ignore[arg-type]


@pytest.mark.parametrize("difficult", [False, True])
def test_images_without_a_box_to_find_are_refused_before_they_are_searched(difficult: bool) -> None:
    def search(*_: object) -> None:
        raise AssertionError("searched an image")

    split: Any = OneBoxSplit(1)
    if difficult:
        split.box_difficult = lambda number: torch.tensor([True])
    else:
        split.box_labels = lambda number: torch.tensor([-1])
    with pytest.raises(UserError, match="no image of val has a box that is not difficult"):
        evaluate_detector(SimpleNamespace(find=search), split, DetectOptions(), ["n01"])  # type: ignore[arg-type]


def test_blacklist_of_all_boxes_leaves_no_second_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was nan, which boxes.json cannot hold."""
    monkeypatch.setattr(box_evaluation, "read_object_blacklist", lambda *_: {(0, 0)})
    found = PredictedBoxes(np.array([0]), np.array([1.0]), np.array([TRUTH]))
    finder: Any = SimpleNamespace(find=lambda image: found, network=SimpleNamespace(num_objects=1))
    split: Any = OneBoxSplit(1)
    numbers = evaluate_detector(finder, split, DetectOptions(), ["n01"]).numbers
    assert (numbers["map"], numbers["map_without_blacklist"]) == (100, None)


@pytest.mark.parametrize(("least_score", "merges"), [(0.0, 1), (0.3, 2)])
def test_true_class_is_merged_once(least_score: float, merges: int) -> None:
    """Unless it has boxes that are there only for the second result."""
    made = BoxFinder(TwoClasses(), BoxOptions("localise", scales=[1]), DetectOptions(least_score=least_score), CPU)  # type: ignore[arg-type]
    merged, combine = [], made.combine
    made.combine = lambda candidates: merged.append(len(candidates.labels)) or combine(candidates)  # type: ignore[method-assign]
    split: Any = ClassedSplit(1)
    ((_, guess, class_given),) = iterate_localised(made, split)
    assert len(merged) == merges
    assert set(class_given.labels.tolist()) == {0}
    assert class_given.scores.sum() == pytest.approx(0.2 * merged[-1] / (2 if merges == 1 else 1))
    assert guess.labels.tolist() == ([1, 0] if merges == 1 else [1])


class TwoClasses(nn.Module):
    """Two classes, with scores of 0.2 and 0.8 in every window."""

    window, num_objects = WindowGeometry(113, 221, 36, 3, 3, 2), 2

    def forward(self, picture: torch.Tensor) -> WindowOutputs:
        rows, columns = window_grid(self.window, tuple(picture.shape[2:]))  # type: ignore[arg-type]
        scores = torch.tensor([0.2, 0.8])[:, None, None].expand(2, rows, columns)
        return WindowOutputs(scores, torch.tensor([0.0, 0, 1, 1])[None, :, None, None].expand(1, 4, rows, columns))


def test_progress_bar_says_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the name of a split."""
    shown: list[str] = []
    monkeypatch.setattr(box_evaluation, "track", lambda numbers, label, _: shown.append(label) or numbers)
    found = PredictedBoxes(np.array([0]), np.array([1.0]), np.array([FOUND]))
    finder: Any = SimpleNamespace(find=lambda image: found, network=SimpleNamespace(num_objects=1))
    split: Any = OneBoxSplit(1)
    evaluate_detector(finder, split, DetectOptions(), ["n01"])
    assert shown == ["Testing"]


def test_as_many_detections_are_counted_as_boxes_that_are_not_difficult() -> None:
    """One of two: the detection of the difficult box and the one beside both are left out."""
    split: Any = OneBoxSplit(1)
    difficult, nothing = [10.0, 40, 20, 50], [30.0, 80, 40, 90]
    split.boxes = lambda number: torch.tensor([TRUTH, difficult])
    split.box_labels = lambda number: torch.tensor([0, 0])
    split.box_difficult = lambda number: torch.tensor([False, True])
    found = PredictedBoxes(np.zeros(3, int), np.array([0.9, 0.8, 0.7]), np.array([TRUTH, difficult, nothing]))
    finder: Any = SimpleNamespace(find=lambda image: found, network=SimpleNamespace(num_objects=1))
    mistakes = evaluate_detector(finder, split, DetectOptions(), ["n01"]).numbers["mistakes"]
    assert {kind: count for kind, count in mistakes.items() if count} == {"right": 1}


def test_boxes_are_grouped_by_image() -> None:
    found = DetectedBoxes(np.array([1, 1, 4]), np.arange(3), np.arange(3) / 4, np.arange(12.0).reshape(3, 4))
    grouped = by_number(found)
    assert [(number, boxes.labels.tolist()) for number, boxes in grouped] == [(1, [0, 1]), (4, [2])]
    assert grouped[1][1].boxes.tolist() == [[8, 9, 10, 11]]
    assert by_number(DetectedBoxes(*(column[:0] for column in found))) == []


@pytest.mark.parametrize(("shrunk", "least"), [(1, 10 * 10 / (20 * 20)), (4, 40 * 40 / (50 * 50))])
def test_ilsvrc_rule_measures_boxes_in_the_original_file(shrunk: int, least: float) -> None:
    """`least`: wh / ((w + 10)(h + 10)) of the box in the file, the IoU that ILSVRC asks of it if it is below 0.5."""
    found = PredictedBoxes(np.array([0]), np.array([1.0]), np.array([FOUND]))
    finder: Any = SimpleNamespace(find=lambda image: found, network=SimpleNamespace(num_objects=1))
    split: Any = OneBoxSplit(shrunk)
    numbers = evaluate_detector(finder, split, DetectOptions(), ["n01"]).numbers
    assert numbers["map"] == (100 if min(0.5, least) <= 1 / 3 else 0)
