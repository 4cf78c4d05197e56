"""Bounding boxes of one image, as its annotation has them and relative to the image."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Coverage(IntEnum):
    """How much of an image was annotated. A region without a box is surely background only where it is `ALL`."""

    NONE = 0  # nobody has looked for objects, or not every object of the classes looked for has a box
    PARTIAL = 1  # objects of some classes have boxes (ILSVRC: of the image's own class), others may have none
    ALL = 2  # every object of every class has a box
    ABSENT = 3  # no box: the image was checked for some classes and shows none of them (ILSVRC DET's negative images)


def has_background(coverage: int, boxes: int) -> bool:
    """Whether regions without a box, of an image with `boxes` boxes, are taken for background in training.

    In a partially annotated image that has a box, and in one that was checked, objects of other classes may be among
    them; the organisers found less than 1 % of such images to show one more of the classes looked for.
    """
    return coverage in (Coverage.ALL, Coverage.ABSENT) or (coverage == Coverage.PARTIAL and boxes > 0)


class Box(NamedTuple):
    """Edges in pixels: the box covers the columns from `left` to `right` − 1, so that its width is right − left.

    `label`: class index; −1: of no class of the store. `difficult`: PASCAL VOC's mark for what evaluation ignores.
    """

    left: float
    top: float
    right: float
    bottom: float
    label: int
    difficult: bool = False


class Annotation(NamedTuple):
    """Boxes of one image. `width`, `height`: of the image that the pixels are of; 0: of the image itself."""

    boxes: list[Box]
    coverage: int = Coverage.PARTIAL
    width: int = 0
    height: int = 0


class ImageBoxes(NamedTuple):
    """Boxes of one image as a store keeps them.

    `edges`: (n, 4) float32, left, top, right, bottom as shares of the image's width and height; `labels`: (n,) int32;
    `difficult`: (n,) bool.
    """

    edges: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    coverage: int


UNANNOTATED = Annotation([], Coverage.NONE)


def from_inclusive(corners: tuple[float, float, float, float], first: int) -> tuple[float, float, float, float] | None:
    """Edges of a box from the coordinates of its first and last pixels, x before y, where the image's first pixel is
    number `first` (ILSVRC: 0, PASCAL VOC: 1). Swapped corners are put in order; None for a box without an extent."""
    x1, y1, x2, y2 = corners
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    if left == right or top == bottom:
        return None
    return left - first, top - first, right - first + 1, bottom - first + 1


def relative_boxes(annotation: Annotation, width: int, height: int) -> ImageBoxes:
    """Boxes relative to an image of this size; what lies outside of it is cut off, and boxes of nothing are dropped."""
    found = np.array([box[:4] for box in annotation.boxes], np.float64).reshape(-1, 4)
    across, down = annotation.width or width, annotation.height or height
    edges = (found / [across, down, across, down]).clip(0, 1).astype(np.float32)
    kept = (edges[:, 2:] > edges[:, :2]).all(1)
    labels = np.array([box.label for box in annotation.boxes], np.int32)
    difficult = np.array([box.difficult for box in annotation.boxes], bool)
    return ImageBoxes(edges[kept], labels[kept], difficult[kept], int(annotation.coverage))
