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

CELL, GAP = 1.7, 0.08  # inches: image, space between images
HEAD, NAME, FALL = 0.34, 0.42, 0.2  # inches: text above a map, below an image, and below its occlusion map
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
    `layer`. Those of a single image are side by side."""
    titles = ("", "occlusion,\non its own scale", f"Grad-CAM of {layer},\non its own scale")
    size, places = arrange(len(images))
    figure = Figure(figsize=size)
    for image, column in zip(images, places, strict=True):
        maps = (overlay(image, values, theme) for values in (image.occlusion, image.grad_cam))
        lines = [(short_name(image.name), describe_probability(image)), (describe_largest(image.occlusion),), ()]
        for place, picture, below, title in zip(column, (to_pixels(image.view), *maps), lines, titles, strict=True):
            axes = add_axes_inches(figure, *place, CELL, CELL)
            axes.imshow(picture)
            write_below(axes, *below)
            if image is images[0]:
                axes.annotate(title, (0, 1), (0, 3), "axes fraction", "offset points", va="bottom", fontsize=LETTER)
    return figure


def arrange(count: int) -> tuple[tuple[float, float], list[list[tuple[float, float]]]]:
    """Size of the figure, and lower left corners of each image's three pictures, in inches."""
    step = CELL + GAP
    if count == 1:
        return (3 * step + GAP, NAME + CELL + HEAD + GAP), [[(GAP + row * step, NAME) for row in range(3)]]
    rows = [GAP + 2 * (CELL + HEAD) + FALL + NAME, GAP + CELL + HEAD + FALL, GAP]
    return (count * step + GAP, rows[0] + CELL + GAP), [[(GAP + i * step, y) for y in rows] for i in range(count)]


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
