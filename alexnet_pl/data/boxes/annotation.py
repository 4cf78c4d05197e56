"""Bounding boxes of one image: in pixels, as annotated, and relative to the image's size."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Coverage(IntEnum):
    """How completely an image was annotated. A region without a box is certainly background only with `ALL`."""

    NONE = 0  # not annotated, or some objects of the annotated classes may lack a box
    PARTIAL = 1  # objects of some classes have boxes (ILSVRC: of the image's own class), others may have none
    ALL = 2  # every object of every class has a box
    ABSENT = 3  # no box: the image was checked for some classes and shows none of them (ILSVRC DET's negative images)


def has_background(coverage: int, boxes: int) -> bool:
    """Whether training takes regions without a box as background, in an image with `boxes` boxes of classes
    of the store.

    In `ABSENT` images and `PARTIAL` ones with a box, these regions may show objects of other classes. The organizers
    estimate that less than 1 % of such images show an object without a box of a class that was looked for.
    """
    return coverage in (Coverage.ALL, Coverage.ABSENT) or (coverage == Coverage.PARTIAL and boxes > 0)


class Box(NamedTuple):
    """Bounding box, edges in pixels: it covers columns `left` to `right` − 1, so its width is right − left.

    `label`: class index, −1 if the store has no such class. `difficult`: PASCAL VOC's mark, ignored in evaluation.
    """

    left: float
    top: float
    right: float
    bottom: float
    label: int
    difficult: bool = False

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)


class Annotation(NamedTuple):
    """Boxes of one image. `width`, `height`: size of the image that box edges refer to; 0: the image's own size."""

    boxes: list[Box]
    coverage: int = Coverage.PARTIAL
    width: int = 0
    height: int = 0


class ImageBoxes(NamedTuple):
    """Boxes of one image as stored.

    `edges`: (n, 4) float32 left, top, right, bottom as fractions of the image's width and height; `labels`: (n,) int32;
    `difficult`: (n,) bool. `note`: (what is wrong with the annotation's size, what was done), () if nothing is.
    """

    edges: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    coverage: int
    note: tuple[str, ...] = ()


UNANNOTATED = Annotation([], Coverage.NONE)


EXCESS = 1.1  # of a box over a size that must be wrong; boxes of ILSVRC exceed theirs by a few pixels
MAX_PIXEL = 2**31  # pixels; sizes of images are stored as int32


def from_inclusive(corners: tuple[float, float, float, float], first: int) -> tuple[float, float, float, float] | None:
    """Convert `corners`, inclusive pixels (x1, y1, x2, y2), to edges (left, top, right, bottom).

    `first`: number of the image's first pixel (ILSVRC: 0, PASCAL VOC: 1). Swapped corners are put in order. None for a
    box without an extent. Raises ValueError for a coordinate that is not finite, or far beyond any image.
    """
    if wrong := [corner for corner in corners if not abs(corner) < MAX_PIXEL]:
        raise ValueError(f"{str(wrong[0])[:40]}: not a coordinate")
    x1, y1, x2, y2 = corners
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    if left == right or top == bottom:
        return None
    return left - first, top - first, right - first + 1, bottom - first + 1


def relative_boxes(annotation: Annotation, width: int, height: int) -> ImageBoxes:
    """Convert boxes to fractions of an image of this size, clipped to it; boxes without area are dropped.

    Edges refer to the annotation's size, which can be that of another resolution. If that size is wrong, they refer to
    the image; if it is the image's transposed, as of a rotated copy, the boxes are left out.
    """
    found = np.array([box[:4] for box in annotation.boxes], np.float64).reshape(-1, 4)
    size, own = (annotation.width or width, annotation.height or height), (width, height)
    note: tuple[str, ...] = ()
    if is_wrong_size(found, size, own):
        note = (f"size in the annotation {size[0]} × {size[1]}, which boxes exceed", "boxes read in the image's pixels")
        size = own
    elif len(found) and size != own and size == own[::-1]:
        note = (f"size in the annotation {size[0]} × {size[1]}, the image's transposed", "boxes left out")
        annotation, found = UNANNOTATED, found[:0]
    edges = (found / [*size, *size]).clip(0, 1).astype(np.float32)
    kept = (edges[:, 2:] > edges[:, :2]).all(1)
    labels = np.array([box.label for box in annotation.boxes], np.int32)
    difficult = np.array([box.difficult for box in annotation.boxes], bool)
    return ImageBoxes(edges[kept], labels[kept], difficult[kept], int(annotation.coverage), note)


def is_wrong_size(edges: np.ndarray, size: tuple[int, int], own: tuple[int, int]) -> bool:
    """Whether boxes exceed an annotation's size by far and fit in the image, whose size is `own`.

    If the image has that shape in another resolution, a box may be wrong; the size is only if half of them exceed it.
    """
    if not len(edges):
        return False  # also for a file that could not be read, which has no size
    far = (edges[:, 2:] > EXCESS * np.array(size)).any(1)
    shape = size[0] * own[1] / (size[1] * own[0])
    is_shape = 1 / EXCESS < shape < EXCESS
    return bool(far.any() and (edges[:, 2:] <= own).all() and (not is_shape or far.mean() >= 0.5))
