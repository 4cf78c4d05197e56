"""Attribution figure: images with occlusion maps and Grad-CAM of the most probable class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.figures.figure4 import add_axes_inches, shorten_name
from alexnet_pl.figures.style import Theme

CELL, GAP, LABEL, NAME = 1.7, 0.08, 0.95, 0.42  # inches: image, space between images, row labels, names
STRENGTH = 0.85  # opacity of a map's largest value


class ExplainedImage(NamedTuple):
    """Image with its attribution maps. `view`: (3, crop, crop) uint8, the center view; `occlusion`: (crop, crop);
    `grad_cam`: (h, w)."""

    view: Tensor
    name: str  # of the most probable class
    probability: float
    occlusion: Tensor
    grad_cam: Tensor


def draw_attribution(images: Sequence[ExplainedImage], layer: str, theme: Theme) -> Figure:
    """Draw one column per image: the image, its occlusion map, its Grad-CAM of `layer`."""
    rows = ("", "occlusion", f"Grad-CAM,\n{layer}")
    size = LABEL + len(images) * (CELL + GAP), NAME + len(rows) * (CELL + GAP) + GAP
    figure = Figure(figsize=size)
    for column, image in enumerate(images):
        x = LABEL + column * (CELL + GAP)
        top = size[1] - GAP
        pictures = (
            to_pixels(image.view),
            overlay(image, image.occlusion, theme),
            overlay(image, image.grad_cam, theme),
        )
        for row, picture in enumerate(pictures):
            y = top - (row + 1) * CELL - row * GAP - (NAME if row else 0)
            axes = add_axes_inches(figure, x, y, CELL, CELL)
            axes.imshow(picture)
            if row == 0:
                words = f"{shorten_name(image.name, 18)}\n{image.probability:.2f}"
                axes.text(0, -0.03, words, transform=axes.transAxes, va="top", fontsize=8, linespacing=1.3)
            elif column == 0:
                axes.text(-0.06, 0.5, rows[row], transform=axes.transAxes, ha="right", va="center", fontsize=8)
    return figure


def to_pixels(view: Tensor) -> np.ndarray:
    """(3, H, W) uint8 → (H, W, 3) in 0 … 1."""
    return view.permute(1, 2, 0).numpy() / 255


def overlay(image: ExplainedImage, values: Tensor, theme: Theme) -> np.ndarray:
    """Overlay a map on the gray image, (H, W, 3): orange where it is positive, blue where negative, with opacity in
    proportion to the map's largest absolute value."""
    sized = F.interpolate(values[None, None].float(), size=image.view.shape[-2:], mode="bilinear")[0, 0].numpy()
    gray = to_pixels(image.view).mean(2, keepdims=True)
    colors = np.where(sized[..., None] > 0, to_rgb(theme.right), to_rgb(theme.series[0]))
    share = STRENGTH * np.abs(sized)[..., None] / max(float(np.abs(sized).max()), 1e-12)
    return (gray * (1 - share) + colors * share).clip(0, 1)
