"""Sampling of detector training windows: by intersection over union, hardest background first."""

import numpy as np
import pytest

from alexnet_pl.detection.window_sampling import sample_windows

WINDOWS = np.array([[x, 0.0, x + 100, 100] for x in range(0, 500, 10)])
BOX = np.array([[100.0, 0, 200, 100]])
NONE, BACKGROUND = np.empty((0, 4)), 9


def sample(boxes: np.ndarray, labels: list[int], counts: tuple[int, int, int], **more: bool) -> tuple:
    offending = np.linspace(0, 1, len(WINDOWS))
    chance = np.random.default_rng(0)
    return sample_windows(WINDOWS, boxes, np.array(labels, int), offending, counts, BACKGROUND, chance, **more)


def test_windows_are_object_background_or_neither() -> None:
    """Windows 30 px off overlap 70 of 130 px: an object; 60 px off, 40 of 160: background; between, neither."""
    found = sample(BOX, [4], (99, 99, 0))
    shifts = np.abs(WINDOWS[found.windows, 0] - 100)
    assert sorted(shifts[found.labels == 4]) == [0, 10, 10, 20, 20, 30, 30]
    assert shifts[found.labels == BACKGROUND].min() == 60
    assert found.boxes[found.labels == 4].tolist() == [0] * 7
    assert set(found.boxes[found.labels == BACKGROUND].tolist()) == {-1}


def test_overlaps_of_exactly_one_half_and_three_tenths_are_object_and_neither() -> None:
    """Windows within the box, whose IoU is their width: below 0.3 is background, from 0.5 an object."""
    windows = np.array([[0.0, 0, width, 1] for width in (29, 30, 49, 50, 51)])
    found = sample_windows(
        windows,
        np.array([[0.0, 0, 100, 1]]),
        np.array([4]),
        np.zeros(5),
        (9, 9, 9),
        BACKGROUND,
        np.random.default_rng(0),
    )
    assert dict(zip(found.windows.tolist(), found.labels.tolist(), strict=True)) == {3: 4, 4: 4, 0: BACKGROUND}


def test_hard_negatives_are_the_least_background_like() -> None:
    found = sample(BOX, [4], (0, 0, 3))
    assert found.windows.tolist() == [47, 48, 49]


def test_random_background_has_no_duplicates() -> None:
    found = sample(BOX, [4], (2, 5, 3))
    assert len(set(found.windows.tolist())) == len(found.windows) == 10
    assert (found.labels == 4).sum() == 2


def test_partly_annotated_image_gives_no_background() -> None:
    assert set(sample(BOX, [4], (99, 5, 5), negatives=False).labels.tolist()) == {4}
    assert len(sample(NONE, [], (99, 5, 5), negatives=False).windows) == 0


def test_image_without_objects_gives_only_background() -> None:
    found = sample(NONE, [], (9, 5, 5))
    assert found.labels.tolist() == [BACKGROUND] * 10


@pytest.mark.parametrize("negatives", [True, False])
def test_object_without_a_class_is_neither_object_nor_background(negatives: bool) -> None:
    found = sample(BOX, [-1], (99, 99, 0), negatives=negatives)
    assert 4 not in found.labels
    assert not np.isin(WINDOWS[found.windows, 0], range(70, 140, 10)).any()
