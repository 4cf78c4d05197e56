"""Box arithmetic against torchvision, hand-computed cases, and ILSVRC's inclusive edges."""

import numpy as np
import pytest
import torch
import torchvision

from alexnet_pl.detection import boxes as b


@pytest.fixture(name="some")
def fixture_some() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 80, (40, 2, 2))
    made = np.concatenate([corners.min(1), corners.max(1) + 1], 1)
    return made[:25], made[25:]


def test_ious_match_torchvision(some: tuple[np.ndarray, np.ndarray]) -> None:
    expected = torchvision.ops.box_iou(*map(torch.from_numpy, some)).numpy()
    np.testing.assert_allclose(b.ious(*some), expected, rtol=1e-12)


def test_inclusive_edges_add_one_pixel_as_in_the_kits() -> None:
    """eval_localization_flat.m: intersection width is min(x2) − max(x1) + 1, areas (x2 − x1 + 1)(y2 − y1 + 1)."""
    one, other = np.array([10, 20, 29, 39]), np.array([20, 20, 39, 39])
    wide, high = 29 - 20 + 1, 39 - 20 + 1
    expected = wide * high / (20 * 20 + 20 * 20 - wide * high)
    found = b.ious(one[None] + np.array([0, 0, 1, 1.0]), other[None] + np.array([0, 0, 1, 1.0]))
    assert found.item() == pytest.approx(expected, rel=1e-15)


def test_boxes_without_area_overlap_nothing() -> None:
    empty = np.array([[5.0, 5, 5, 9], [9, 9, 2, 2]])
    assert b.compute_areas(empty).tolist() == [0, 0]
    assert not b.ious(empty, empty).any()
    assert not b.shares_inside(empty, np.array([[0.0, 0, 20, 20]])).any()


def test_overlap_of_a_window_is_the_share_of_the_box_inside() -> None:
    window = np.array([[0.0, 0, 100, 100]])
    small, half = [40, 40, 60, 60], [90, 0, 110, 50]
    assert b.overlaps(b.as_boxes([small, half]), window, "box").tolist() == [[1.0, 0.5]]
    assert b.overlaps(b.as_boxes([small]), window, "iou").tolist() == [[0.04]]


def test_window_target_is_the_box_most_inside_then_the_larger() -> None:
    windows = np.array([[0.0, 0, 100, 100], [300, 300, 400, 400]])
    inside, larger, outside = [10, 10, 30, 30], [10, 10, 90, 90], [80, 0, 200, 100]
    assert b.match_windows(b.as_boxes([outside, inside, larger]), windows).tolist() == [2, -1]
    assert b.match_windows(b.as_boxes([outside, inside]), windows).tolist() == [1, -1]
    assert b.match_windows(b.as_boxes([outside]), windows).tolist() == [-1, -1]
    assert b.match_windows(b.as_boxes([]), windows).tolist() == [-1, -1]


@pytest.mark.parametrize(("inside", "match"), [(50, 0), (49, -1)])
@pytest.mark.parametrize("measure", ["box", "iou"])
def test_window_is_trained_from_an_overlap_of_one_half(inside: int, match: int, measure: str) -> None:
    """§4.2: "at least 50 %" of a box of 100 pixels; its IoU with a window inside is the window's share."""
    box = b.as_boxes([[0, 0, 100, 1]])
    window = b.as_boxes([[0, 0, inside, 1]] if measure == "iou" else [[100 - inside, 0, 300, 1]])
    assert b.match_windows(box, window, measure).tolist() == [match]


def test_window_coordinates_are_inverted() -> None:
    window = np.array([[36.0, 12, 257, 233]])
    assert b.to_window_frame(window, window).tolist() == [[0, 0, 1, 1]]
    box = np.array([[0.0, 30, 400, 60]])
    values = b.to_window_frame(box, window)
    assert values[0, 0] == pytest.approx(-36 / 221)
    assert values[0, 2] > 1  # beyond the window
    np.testing.assert_allclose(b.from_window_frame(values, window), box, atol=1e-12)


def test_clipping_keeps_the_part_inside() -> None:
    assert b.clip_boxes(b.as_boxes([[-5, 2, 40, 9]]), 30, 8).tolist() == [[0, 2, 30, 8]]
