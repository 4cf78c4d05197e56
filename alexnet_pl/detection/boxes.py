"""Boxes: (N, 4) float64 arrays of left, top, right, bottom in pixels, right and bottom exclusive.

Everything here computes in float64, since boxes that differ in the last bits of a shorter type would be merged in
another order. Data files give inclusive edges (VOC counts from 1, ILSVRC from 0), which `prepare` converts. With
exclusive edges a width is right − left, which is what ILSVRC's and VOC's own programs compute as x2 − x1 + 1.
"""

import numpy as np

Boxes = np.ndarray


def as_boxes(given: object) -> Boxes:
    """(N, 4) float64; of nothing (0, 4)."""
    return np.asarray(given, dtype=np.float64).reshape(-1, 4)


def to_inclusive(boxes: object, first: int = 0) -> Boxes:
    """Boxes as a data file has them, whose pixels count from `first` and whose right and bottom pixels are inside."""
    return as_boxes(boxes) + first - np.array([0, 0, 1, 1])


def sides(boxes: Boxes) -> np.ndarray:
    """(N, 2) width and height; 0 where an edge lies before its opposite, which a regressor can predict."""
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 0)


def areas(boxes: Boxes) -> np.ndarray:
    return sides(boxes).prod(-1)


def centers(boxes: Boxes) -> np.ndarray:
    """(N, 2) x and y."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def intersections(one: Boxes, other: Boxes) -> np.ndarray:
    """(N, M) areas that each of (N, 4) shares with each of (M, 4)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    return np.maximum(high - low, 0).prod(-1)


def ious(one: Boxes, other: Boxes) -> np.ndarray:
    """(N, M) intersection over union; 0 for a pair of empty boxes."""
    shared = intersections(one, other)
    union = areas(one)[:, None] + areas(other)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def shares_inside(boxes: Boxes, windows: Boxes) -> np.ndarray:
    """(windows, boxes): how much of each box lies inside each window, 0 to 1.

    The regressor is trained on windows that a box "overlaps by at least 50 %" (§4.2): else most of the object is
    outside. That reason asks for the share of the box, not for the intersection over union.
    """
    shared, whole = intersections(windows, boxes), areas(boxes)[None]
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def overlaps(boxes: Boxes, windows: Boxes, measure: str) -> np.ndarray:
    """(windows, boxes) by `measure`: box, the share of the box that is inside, or iou."""
    return shares_inside(boxes, windows) if measure == "box" else ious(windows, boxes)


def matched_boxes(boxes: Boxes, windows: Boxes, least: float = 0.5, measure: str = "box") -> np.ndarray:
    """(windows,) index of the box that each window is trained to predict; −1 where none overlaps enough.

    Of several boxes the one that is most inside the window; of equal ones the larger, then the first. The paper does
    not say which.
    """
    if not len(boxes):
        return np.full(len(windows), -1)
    found = overlaps(boxes, windows, measure)
    by_size = np.argsort(-areas(boxes), kind="stable")  # argmax takes the first of equals
    best = by_size[found[:, by_size].argmax(1)]
    return np.where(found[np.arange(len(windows)), best] >= least, best, -1)


def to_window_frame(boxes: Boxes, windows: Boxes) -> np.ndarray:
    """(N, 4) edges of each box in the frame of its window, which reaches from 0 to 1: the regressor's targets."""
    return (boxes - np.tile(windows[:, :2], 2)) / np.tile(sides(windows), 2)


def from_window_frame(values: np.ndarray, windows: Boxes) -> Boxes:
    """Boxes in pixels from the regressor's outputs: the inverse of `to_window_frame`."""
    return np.asarray(values, np.float64) * np.tile(sides(windows), 2) + np.tile(windows[:, :2], 2)


def clip(boxes: Boxes, width: float, height: float) -> Boxes:
    """The part of each box that is inside the image."""
    return np.clip(boxes, 0, [width, height, width, height])
