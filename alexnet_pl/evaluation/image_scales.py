"""OverFeat, Table 5: image sizes of the six scales in dense evaluation, and resizing to them."""

from collections.abc import Sequence

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


def scale_sides(window: WindowGeometry, scale: int) -> tuple[int, int]:
    """(height, width) of a scale: Table 5 for the accurate network.

    For the other networks each side is rounded to the window plus a whole number of fine strides, so that no pixel is
    lost; for a smaller member of a family the table is scaled by the ratio of the windows.
    """
    factor = window.window / window.published
    height, width = (round_side(window, side * factor) for side in TABLE5[scale])
    return height, width


def round_side(window: WindowGeometry, side: float) -> int:
    """Nearest side, in pixels, that is the window plus a whole number of fine strides."""
    return window.window + max(0, round((side - window.window) / window.fine_stride)) * window.fine_stride


def pyramid_sides(size: tuple[int, int], window: WindowGeometry, scale: int, zoom: float = 1.0) -> tuple[int, int]:
    """(height, width) to which an image of `size` (height, width) is resized at a scale.

    The shorter side is the scale's height times `zoom`, the longer one is proportional; both are rounded by
    `round_side`. Nothing is cropped, because a box may lie anywhere.
    """
    shorter = round_side(window, scale_sides(window, scale)[0] * zoom)
    longer = round_side(window, shorter * max(size) / min(size))
    return (longer, shorter) if size[0] > size[1] else (shorter, longer)


def target_sides(image: Tensor, window: WindowGeometry, scale: int, aspect: str) -> tuple[int, int]:
    """(height, width) to which an image (3, H, W) is resized at a scale; swapped for portraits.

    `aspect="keep"`: those of `pyramid_sides`.
    """
    height, width = scale_sides(window, scale)
    rows, columns = image.shape[-2:]
    if aspect == "keep":
        return pyramid_sides((rows, columns), window, scale)
    return (width, height) if rows > columns else (height, width)


def resize_to_sides(image: Tensor, sides: tuple[int, int], aspect: str) -> Tensor:
    """(3, H, W) uint8 → (3, *sides) float32, 0 … 255, bilinear with antialiasing.

    `aspect="crop"` keeps the proportions and crops the center; any other value stretches.
    """
    rows, columns = image.shape[-2:]
    resized = sides
    if aspect == "crop":
        factor = max(sides[0] / rows, sides[1] / columns)
        resized = max(sides[0], round(rows * factor)), max(sides[1], round(columns * factor))
    pixels = image[None].float()
    if resized != (rows, columns):
        pixels = F.interpolate(pixels, resized, mode="bilinear", antialias=True)
    top, left = ((whole - part) // 2 for whole, part in zip(resized, sides, strict=True))
    return pixels[0, :, top : top + sides[0], left : left + sides[1]]


def group_by_sides(
    images: Sequence[Tensor], window: WindowGeometry, scale: int, aspect: str
) -> dict[tuple[int, int], list[int]]:
    """(height, width) → indices of the images that are resized to it at a scale, to batch them."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(target_sides(image, window, scale, aspect), []).append(number)
    return groups


def stack_resized(images: list[Tensor], sides: tuple[int, int], aspect: str) -> Tensor:
    """(N, 3, *sides) float32 batch of resized images."""
    return torch.stack([resize_to_sides(image, sides, aspect) for image in images])
