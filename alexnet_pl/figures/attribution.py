"""Attribution figure: images with occlusion maps and Grad-CAM of the most probable class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.data.store.store import short_name
from alexnet_pl.figures.labels import RIGHT, WRONG, cut_to_width, format_probability
from alexnet_pl.figures.style import Theme, add_axes_inches

CELL, GAP, LABEL = 1.7, 0.08, 0.95  # inches: image, space between images, row labels
NAME, FALL = 0.42, 0.16  # inches: text below an image, and below its occlusion map
LETTER = 8  # points
STRENGTH = 0.85  # opacity of a map's largest value


class ExplainedImage(NamedTuple):
    """Image with its attribution maps. `view`: (3, crop, crop) uint8, the center view; `occlusion`: (crop, crop);
    `grad_cam`: (h, w). `label`: name of the correct class; None if it is not known. `is_right`: whether that class is
    the most probable one; two classes may have one name."""

    view: Tensor
    name: str  # of the most probable class
    probability: float
    occlusion: Tensor
    grad_cam: Tensor
    label: str | None = None
    is_right: bool = False


def draw_attribution(images: Sequence[ExplainedImage], layer: str, theme: Theme) -> Figure:
    """Draw one column per image: the image, its occlusion map with the largest change of the output, its Grad-CAM of
    `layer`."""
    rows = ("", "occlusion", f"Grad-CAM,\n{layer}")
    size = LABEL + len(images) * (CELL + GAP), NAME + FALL + len(rows) * (CELL + GAP) + GAP
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
            y = top - (row + 1) * CELL - row * GAP - (0, NAME, NAME + FALL)[row]
            axes = add_axes_inches(figure, x, y, CELL, CELL)
            axes.imshow(picture)
            if row == 0:
                write_below(axes, short_name(image.name), describe_probability(image))
            elif row == 1:
                write_below(axes, describe_largest(image.occlusion))
            if row and column == 0:
                axes.text(-0.06, 0.5, rows[row], transform=axes.transAxes, ha="right", va="center", fontsize=LETTER)
    return figure


def write_below(axes: Axes, *lines: str) -> None:
    """Write lines below a picture, cut to its width."""
    for number, line in enumerate(lines):
        down = 3 + 1.3 * LETTER * number
        text = axes.annotate(line, (0, 0), (0, -down), "axes fraction", "offset points", va="top", fontsize=LETTER)
        cut_to_width(text, CELL)


def describe_probability(image: ExplainedImage) -> str:
    """The softmax output, and whether the class is right: "✗ 0.54 (is tench)"."""
    value = format_probability(image.probability)
    if image.label is None:
        return value
    return f"{RIGHT} {value}" if image.is_right else f"{WRONG} {value} (is {short_name(image.label)})"


def describe_largest(occlusion: Tensor) -> str:
    """The change that the map's strongest color stands for: "largest fall 0.3"."""
    fall, rise = float(occlusion.max()), -float(occlusion.min())
    return f"largest fall {fall:.1g}" if fall >= rise else f"largest rise {rise:.1g}"


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
