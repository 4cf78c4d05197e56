"""Localisation error against the development kit's rule on inclusive pixels, and hand-made cases."""

import numpy as np
import pytest

from alexnet_pl.detection.localisation_error import (
    LocalisedImage,
    best_constant_box,
    is_localised,
    localisation_errors,
)


def from_inclusive(boxes: list[list[int]]) -> np.ndarray:
    return np.array(boxes, float) + np.array([0, 0, 1, 1])


def kit_is_wrong(guesses: list[tuple[int, list[int]]], label: int, truth: list[list[int]]) -> bool:
    """eval_localization_flat.m for one image, pixel by pixel, with inclusive edges; `ov < 0.5` is wrong."""
    least = 1.0
    for of, box in guesses[:5]:
        error = 1.0
        mine = {(x, y) for x in range(box[0], box[2] + 1) for y in range(box[1], box[3] + 1)}
        for there in truth:
            theirs = {(x, y) for x in range(there[0], there[2] + 1) for y in range(there[1], there[3] + 1)}
            if not len(mine & theirs) / len(mine | theirs) < 0.5 and of == label:
                error = 0.0
        least = min(least, error)
    return bool(least)


def test_agrees_with_the_kit_on_random_guesses() -> None:
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(300):
        corner = rng.integers(0, 6, (8, 2))
        boxes = np.hstack([corner, corner + rng.integers(3, 9, (8, 2))]).tolist()
        labels = rng.integers(0, 3, 6).tolist()
        wrong = kit_is_wrong(list(zip(labels, boxes[:6], strict=True)), 1, boxes[6:])
        assert is_localised(labels, from_inclusive(boxes[:6]), 1, from_inclusive(boxes[6:])) is not wrong
        answers.append(wrong)
    assert 60 < sum(answers) < 240


def test_overlap_of_exactly_one_half_is_correct() -> None:
    truth = from_inclusive([[0, 0, 9, 9]])
    assert is_localised([3], from_inclusive([[0, 0, 9, 4]]), 3, truth)
    assert not is_localised([3], from_inclusive([[0, 0, 9, 3]]), 3, truth)


def test_sixth_guess_does_not_count() -> None:
    truth = np.array([[0.0, 0, 10, 10]])
    assert not is_localised([0, 1, 2, 3, 4, 7], np.repeat(truth, 6, 0), 7, truth)
    assert is_localised([0, 1, 2, 3, 7, 4], np.repeat(truth, 6, 0), 7, truth)


def localised(labels: list[int], box: list[float], given: list[float], label: int = 0) -> LocalisedImage:
    truth = np.array([[0.0, 0, 50, 40], [60, 60, 100, 80]])
    return LocalisedImage(label, truth, np.array(labels), np.array([box] * len(labels)), np.array([given]), (100, 80))


HIT, MISS = [0, 0, 50, 40], [0, 40, 50, 80]


def test_each_error_counts_its_own_failure() -> None:
    images = [
        localised([0, 1], HIT, HIT),
        localised([1, 0], MISS, HIT),  # class right, box wrong
        localised([1, 2], HIT, HIT),  # class wrong
        localised([0], [60, 60, 100, 80], MISS),  # a box of any object of the class counts
    ]
    found = localisation_errors(images, np.array([0, 0, 0.5, 0.5]))
    assert found["images"] == 4
    assert found["loc_error"] == 50
    assert found["top1_error"] == 50
    assert found["top5_error"] == 25
    assert found["given_class_error"] == 25
    assert found["constant_box_error"] == 0
    assert found["constant_box_loc_error"] == 25
    assert "loc_error_without_blacklist" not in found
    low, high = found["loc_error_interval"]
    assert low < 50 < high


def test_blacklisted_images_are_not_counted() -> None:
    images = [localised([0], HIT, HIT), localised([1], HIT, HIT), localised([1], HIT, HIT)]
    found = localisation_errors(images, np.array([0, 0, 1, 1]), skipped={2})
    assert found["loc_error"] == pytest.approx(200 / 3)
    assert found["loc_error_without_blacklist"] == 50


def test_blacklist_of_all_images_leaves_no_second_error() -> None:
    found = localisation_errors([localised([1], HIT, HIT)], np.array([0, 0, 1, 1]), skipped={0})
    assert found["loc_error"] == 100
    assert "loc_error_without_blacklist" not in found


def test_correct_class_without_a_box_is_an_error() -> None:
    nothing = LocalisedImage(
        0, np.array([[0.0, 0, 9, 9]]), np.array([], int), np.empty((0, 4)), np.empty((0, 4)), (9, 9)
    )
    found = localisation_errors([nothing], np.array([0, 0, 1, 1]))
    assert found["loc_error"] == found["top5_error"] == found["given_class_error"] == 100


def test_best_constant_box_is_close_to_the_typical_box() -> None:
    rng = np.random.default_rng(3)
    centers, half = rng.uniform(0.45, 0.55, (60, 2)), rng.uniform(0.25, 0.4, (60, 2))
    truths = [np.clip(np.hstack([c - h, c + h]), 0, 1)[None] for c, h in zip(centers, half, strict=True)]
    found = best_constant_box(truths)
    assert found == pytest.approx([0.2, 0.2, 0.8, 0.8], abs=0.11)


def test_constant_box_is_right_for_the_most_images_then_has_the_highest_overlap() -> None:
    """Edges are multiples of 0.05. Five equal boxes would give the largest mean overlap alone, but the box of half
    their height is right for all six images."""
    assert best_constant_box([np.array([[0.15, 0.25, 0.65, 0.95]])]) == pytest.approx([0.15, 0.25, 0.65, 0.95])
    tall, flat = np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 1, 0.25]])
    assert best_constant_box([tall] * 5 + [flat]) == pytest.approx([0, 0, 1, 0.5])
