"""Boxes: (N, 4) float64 arrays of left, top, right, bottom in pixels, right and bottom exclusive.

All functions compute in float64, because rounding would change the order in which boxes are merged. Data files have
inclusive edges (VOC counts from 1, ILSVRC from 0), which `prepare` converts. With exclusive edges a width is right −
left; ILSVRC's and VOC's programs compute the same width as x2 − x1 + 1.
"""

import numpy as np

Boxes = np.ndarray
LEAST_OVERLAP = 0.5  # of a window and the box that it is trained to predict (§4.2)


def as_boxes(values: object) -> Boxes:
    """Convert to (N, 4) float64; an empty value becomes (0, 4)."""
    return np.asarray(values, dtype=np.float64).reshape(-1, 4)


def box_sides(boxes: Boxes) -> np.ndarray:
    """(N, 2) width and height; 0 if the edges are in the wrong order, which a regressor can predict."""
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 0)


def compute_areas(boxes: Boxes) -> np.ndarray:
    return box_sides(boxes).prod(-1)


def box_centers(boxes: Boxes) -> np.ndarray:
    """(N, 2) x and y of the centers."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def intersections(a: Boxes, b: Boxes) -> np.ndarray:
    """(N, M) areas of the intersections of boxes (N, 4) and (M, 4)."""
    return shared_lengths(a, b, 0) * shared_lengths(a, b, 1)  # several times as fast as arrays of (N, M, 2)


def shared_lengths(a: Boxes, b: Boxes, axis: int) -> np.ndarray:
    """(N, M) lengths that the sides of boxes share, along x (0) or y (1)."""
    low, high = np.maximum.outer(a[:, axis], b[:, axis]), np.minimum.outer(a[:, axis + 2], b[:, axis + 2])
    return np.maximum(high - low, 0)


def ious(a: Boxes, b: Boxes) -> np.ndarray:
    """(N, M) intersection over union; 0 for a pair of empty boxes."""
    return shares_of_union(intersections(a, b), compute_areas(a), compute_areas(b))


def shares_of_union(shared: np.ndarray, areas: np.ndarray, other_areas: np.ndarray) -> np.ndarray:
    """`ious` of boxes with intersections `shared`, (N, M), and areas (N,) and (M,)."""
    union = areas[:, None] + other_areas[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def shares_inside(boxes: Boxes, windows: Boxes) -> np.ndarray:
    """Share of each box that lies inside each window: (windows, boxes), 0 to 1.

    The regressor is trained on windows that a box "overlaps by at least 50 %" (§4.2), because otherwise most of the
    object is outside the window. This reason implies the share of the box, not the intersection over union.
    """
    shared, box_areas = intersections(windows, boxes), compute_areas(boxes)[None]
    return np.divide(shared, box_areas, out=np.zeros_like(shared), where=box_areas > 0)


def overlaps(boxes: Boxes, windows: Boxes, measure: str) -> np.ndarray:
    """Overlap of windows and boxes, (windows, boxes). `measure`: "box", the share of the box inside, or "iou"."""
    return shares_inside(boxes, windows) if measure == "box" else ious(windows, boxes)


def match_windows(boxes: Boxes, windows: Boxes, measure: str = "box") -> np.ndarray:
    """Index of the box that each window is trained to predict, (windows,); −1 if every overlap is below 0.5.

    It is the box with the largest overlap; ties go to the larger box, then to the first. The paper does not specify it.
    """
    if not len(boxes):
        return np.full(len(windows), -1)
    shares = overlaps(boxes, windows, measure)
    by_size = np.argsort(-compute_areas(boxes), kind="stable")  # argmax takes the first of equals
    best = by_size[shares[:, by_size].argmax(1)]
    return np.where(shares[np.arange(len(windows)), best] >= LEAST_OVERLAP, best, -1)


def to_window_frame(boxes: Boxes, windows: Boxes) -> np.ndarray:
    """Targets of the regressor, (N, 4): edges of each box relative to its window, which spans 0 to 1."""
    return (boxes - np.tile(windows[:, :2], 2)) / np.tile(box_sides(windows), 2)


def from_window_frame(values: np.ndarray, windows: Boxes) -> Boxes:
    """Boxes in pixels from the regressor's outputs: the inverse of `to_window_frame`."""
    return np.asarray(values, np.float64) * np.tile(box_sides(windows), 2) + np.tile(windows[:, :2], 2)


def clip_boxes(boxes: Boxes, width: float, height: float) -> Boxes:
    """Clip boxes to an image of `width` × `height` pixels."""
    return np.clip(boxes, 0, [width, height, width, height])
