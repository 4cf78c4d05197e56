"""Synthetic scenes with bounding boxes: the demo's patterns as objects of random position and size on natural noise.

A scene has a few objects (0 to 3 by default), each of one of the demo's ten classes (synthetic.py). The longer side of
an object's box is 20 to 70 % of the scene's shorter side, and the whole box lies within the scene. Boxes are exact: the
smallest that contain every pixel with at least half of the object's maximum opacity. A third of the scenes are square;
the others have an aspect ratio of 4:3 or 3:4.

The class of a scene is that of the object with the largest box; a scene without objects has none. Scenes reproduce no
result of the papers; they serve to try classification, localisation and detection without ImageNet.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, Philox

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.boxes.annotation import Annotation, Box, Coverage
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.synthetic import CLASSES, PATTERNS, TRAIN, VAL, draw_background, illumination, pixel_grid

OBJECTS = (0, 3)
MOST_OBJECTS = 8
SHARES = (0.2, 0.7)  # longer side of an object's box, as a fraction of the scene's shorter side
ASPECTS = ((3, 3), (3, 4), (4, 3))  # height and width in thirds of the shorter side
TRIED = 10  # positions tried for an object; the one with the least overlap with other objects is used
STEP = 32  # noise is drawn in squares of a multiple of this: Fourier transforms of odd lengths take ten times as long
MEASURED = 64  # pixels: side of the patch on which an object's extent is measured before it is drawn at its size


class Object(NamedTuple):
    """Object of a scene: its box, the corner of its patch, blend and opacity (side, side), two colors (3, 1, 1)."""

    box: Box
    top: int
    left: int
    blend: np.ndarray
    opacity: np.ndarray
    colors: tuple[np.ndarray, np.ndarray]


class Scene(NamedTuple):
    """`image`: (3, height, width) uint8; `boxes`: the largest first; `label`: class index, −1 for an empty scene."""

    image: np.ndarray
    boxes: list[Box]
    label: int


def draw_scene(index: int, size: int = 160, objects: tuple[int, int] = OBJECTS, seed: int = 0) -> Scene:
    """Draw a scene whose shorter side has `size` pixels; a pure function of its arguments."""
    rng, height, width, found = lay_out(index, size, objects, seed)
    image = draw_background(rng, -(-max(height, width) // STEP) * STEP)[:, :height, :width].copy()
    for each in found:
        paint_object(image, each, rng.uniform(0.7, 1))
    x, y = pixel_grid(width)[0], pixel_grid(height)[1]
    image *= illumination(rng, x, y)
    boxes = [each.box for each in found]
    return Scene(np.clip(255 * image, 0, 255).astype(np.uint8), boxes, label_of(boxes))


def annotate_scene(index: int, size: int, objects: tuple[int, int] = OBJECTS) -> tuple[Annotation, int]:
    """Boxes and class of a scene without drawing it."""
    boxes = [each.box for each in lay_out(index, size, objects, 0)[3]]
    return Annotation(boxes, Coverage.ALL), label_of(boxes)


def label_of(boxes: list[Box]) -> int:
    return boxes[0].label if boxes else -1


def lay_out(index: int, size: int, objects: tuple[int, int], seed: int) -> tuple[Generator, int, int, list[Object]]:
    """Lay out a scene: (generator for the remaining draws, height, width, objects with the largest box first)."""
    rng = Generator(Philox(key=[seed, index], counter=[0, 0, 0, 1]))
    height, width = (size * thirds // 3 for thirds in ASPECTS[rng.integers(len(ASPECTS))])
    count = int(rng.integers(objects[0], objects[1] + 1))
    shares = sorted(rng.uniform(*SHARES, count), reverse=True)
    found: list[Object] = []
    for number, share in enumerate(shares):
        label = int(rng.integers(len(CLASSES))) if number else index % len(CLASSES)
        found.append(place_object(rng, make_patch(rng, label, round(share * size)), label, (height, width), found))
    return rng, height, width, sorted(found, key=lambda each: each.box.area, reverse=True)


class Patch(NamedTuple):
    """Object before it is placed. `extent`: left, top, right, bottom of its box within the patch."""

    blend: np.ndarray
    opacity: np.ndarray
    colors: tuple[np.ndarray, np.ndarray]
    extent: tuple[int, int, int, int]


def make_patch(rng: Generator, label: int, longer: int) -> Patch:
    """Draw an object of a class; the longer side of its box has about `longer` pixels, from 1 to `longer`."""
    pattern, palette = PATTERNS[CLASSES[label][1]]
    key = rng.integers(2**63, size=2)
    colors = palette(rng)

    def at(side: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int, int]]:
        x, y = pixel_grid(side)
        blend, opacity = pattern(Generator(Philox(key=key)), x, y)
        opacity = opacity * np.clip(6 * (1 - np.sqrt(x**4 + y**4)), 0, 1)  # a rounded square: no patch edge shows
        return blend, opacity, extent_of(opacity)

    left, top, right, bottom = at(MEASURED)[2]
    side = max(2, math.floor(longer * MEASURED / max(right - left, bottom - top)))
    while True:  # the extent in whole pixels can exceed the measured one by one
        blend, opacity, extent = at(side)
        if max(extent[2] - extent[0], extent[3] - extent[1]) <= longer or side <= 2:
            return Patch(blend, opacity, colors, extent)
        side -= 1


def extent_of(opacity: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom edge of the pixels that are at least half as opaque as the most opaque one."""
    shown = opacity >= opacity.max() / 2
    (rows,), (columns,) = np.nonzero(shown.any(1)), np.nonzero(shown.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def place_object(rng: Generator, patch: Patch, label: int, size: tuple[int, int], others: list[Object]) -> Object:
    """Place an object at the one of `TRIED` random positions where it overlaps the `others` least."""
    left, top, right, bottom = patch.extent
    across, down = right - left, bottom - top
    corners = rng.integers([size[1] - across + 1, size[0] - down + 1], size=(TRIED, 2)).tolist()
    boxes = [Box(x, y, x + across, y + down, label) for x, y in corners]
    box = min(boxes, key=lambda one: sum(overlap(one, other.box) for other in others))
    return Object(box, int(box.top) - top, int(box.left) - left, patch.blend, patch.opacity, patch.colors)


def overlap(one: Box, other: Box) -> float:
    """Pixels that two boxes share."""
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0, across) * max(0, down)


def paint_object(image: np.ndarray, each: Object, strength: float) -> None:
    """Paint an object over `image`, (3, height, width) float, in place; its patch is clipped to the image."""
    side = each.opacity.shape[0]
    top, left = max(0, each.top), max(0, each.left)
    bottom, right = min(image.shape[1], each.top + side), min(image.shape[2], each.left + side)
    own = slice(top - each.top, bottom - each.top), slice(left - each.left, right - each.left)
    behind = image[:, top:bottom, left:right]
    first, second = each.colors
    paint = (first + second) / 2 + (second - first) / 2 * each.blend[own]
    behind += strength * each.opacity[own] * (paint - behind)


def source(size: int, objects: tuple[int, int] = OBJECTS, train: int = TRAIN, val: int = VAL) -> DatasetListing:
    """Listing for `prepare`: the first `train` indices as training images, the next `val` as validation images."""
    numbers = {"train": range(train), "val": range(train, train + val)}

    def listed(split: str) -> Iterator[ImageRecord]:
        for i in numbers[split]:
            annotation, label = annotate_scene(i, size, objects)
            location = ByteLocation(Path("drawn"), start=i)
            yield ImageRecord(f"{split}/{i:06d}", label, location, annotation)

    splits = {split: LazyRecords(lambda split=split: listed(split)) for split in numbers}
    return DatasetListing(list(CLASSES), splits, expected={split: len(indices) for split, indices in numbers.items()})


def read(item: ImageRecord, size: int, objects: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Draw the scene of a record: (3, height, width) uint8 RGB, with an empty note."""
    return draw_scene(item.location.start, size, objects).image, ""
