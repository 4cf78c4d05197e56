"""Image sizes of dense evaluation: Table 5 of OverFeat, for any network, and images resized to them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.models.sliding_window import WindowGeometry

TABLE5 = {  # scale → height and width for the accurate network, whose window has 221 pixels
    1: (245, 245),
    2: (281, 317),
    3: (317, 389),
    4: (389, 461),
    5: (425, 497),
    6: (461, 569),
}
TABLE5_WINDOW = 221


def scale_sides(window: WindowGeometry, scale: int) -> tuple[int, int]:
    """(height, width) of a scale: Table 5's own for the accurate network.

    The table is of one network. For the two others, sides are the nearest that lose no pixel, its window plus a whole
    number of fine strides; for a smaller member of a family the table shrinks with its window.
    """
    shrunk = window.window / window.published
    height, width = (fit_side(window, side * shrunk) for side in TABLE5[scale])
    return height, width


def fit_side(window: WindowGeometry, side: float) -> int:
    """The number of pixels nearest to `side` that the fine stride divides, beyond the window, without a rest."""
    return window.window + max(0, round((side - window.window) / window.fine_stride)) * window.fine_stride


def target_sides(image: Tensor, window: WindowGeometry, scale: int, aspect: str) -> tuple[int, int]:
    """(height, width) of the picture that the network sees of an image (3, H, W) at a scale.

    Height and width are exchanged for portraits. `keep`: the shorter side gets the scale's height, the other is in
    proportion, rounded so that no pixel is lost.
    """
    height, width = scale_sides(window, scale)
    rows, columns = image.shape[-2:]
    if aspect == "keep":
        shorter, longer = height, fit_side(window, height * max(rows, columns) / min(rows, columns))
        height, width = shorter, longer
    return (width, height) if rows > columns else (height, width)


def resize(image: Tensor, sides: tuple[int, int], aspect: str) -> Tensor:
    """(3, H, W) uint8 → (3, *sides) float32, 0 … 255, bilinear and antialiased. `crop` covers the sides and cuts the
    middle out; the others squash."""
    rows, columns = image.shape[-2:]
    covered = sides
    if aspect == "crop":
        factor = max(sides[0] / rows, sides[1] / columns)
        covered = max(sides[0], round(rows * factor)), max(sides[1], round(columns * factor))
    pixels = image[None].float()
    if covered != (rows, columns):
        pixels = F.interpolate(pixels, covered, mode="bilinear", antialias=True)
    top, left = ((whole - part) // 2 for whole, part in zip(covered, sides, strict=True))
    return pixels[0, :, top : top + sides[0], left : left + sides[1]]


def by_sides(images: list[Tensor], window: WindowGeometry, scale: int, aspect: str) -> dict[tuple[int, int], list[int]]:
    """Numbers of the images that get the same sides at a scale, so that they go through the network together."""
    found: dict[tuple[int, int], list[int]] = {}
    for number, image in enumerate(images):
        found.setdefault(target_sides(image, window, scale, aspect), []).append(number)
    return found


def stack_resized(images: list[Tensor], sides: tuple[int, int], aspect: str) -> Tensor:
    return torch.stack([resize(image, sides, aspect) for image in images])
