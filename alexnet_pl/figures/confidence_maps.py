"""Confidence maps (OverFeat §3.3): an image at several scales, with the score of a class in each window."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from alexnet_pl.evaluation.dense import ScaleMap
from alexnet_pl.figures.labels import RIGHT
from alexnet_pl.figures.style import Theme
from alexnet_pl.models.sliding_window import WindowGeometry

WIDTH, GAP = 9.0, 0.5  # inches: width of the figure, height of the titles above each row


class MappedImage(NamedTuple):
    """Maps of an image, one per scale. `answer`, `name`: number and name of the class that a dense test predicts;
    `label`, `label_name`: those of the true class, −1 and "" if unknown. Two classes may have one name."""

    maps: list[ScaleMap]
    answer: int
    name: str
    label: int
    label_name: str


def draw_confidence_maps(
    images: Sequence[MappedImage], scales: Sequence[int], window: WindowGeometry, stride: int, theme: Theme
) -> Figure:
    """Draw one row per image and one panel per scale, with pixels of equal size. Each cell of a map covers the center
    of its window, brighter for a higher score; the box is the window with the highest score. `stride`: pixels between
    windows."""
    widths = [max(each.maps[k].picture.shape[2] for each in images) for k in range(len(scales))]
    heights = [max(found.picture.shape[1] for found in each.maps) for each in images]
    unit = WIDTH / sum(widths)
    figure = Figure(figsize=(WIDTH, sum(unit * height + GAP for height in heights)), layout="constrained")
    panels = figure.subplots(
        len(images), len(scales), squeeze=False, gridspec_kw={"width_ratios": widths, "height_ratios": heights}
    )
    limits = color_limits(images)
    for row, each in zip(panels, images, strict=True):
        for axes, scale, found in zip(row, scales, each.maps, strict=True):
            draw_map(axes, found, each.answer, limits, window, stride, theme)
            best = float(found.scores[each.answer].max())
            axes.set_title(f"scale {scale}, up to {best:.2f}", fontsize=8, loc="left")
        known = RIGHT if each.answer == each.label else f"(is {each.label_name})"
        mark = known if each.label >= 0 else "(label not known)"
        row[0].set_title(f"{each.name} {mark}\n{row[0].get_title(loc='left')}", fontsize=8, loc="left")
    return figure


def color_limits(images: Sequence[MappedImage]) -> tuple[float, float]:
    """Scores at the ends of the color scale: 0 and 1 for softmax outputs, else the lowest and highest drawn."""
    drawn = [found.scores[each.answer] for each in images for found in each.maps]
    lowest, highest = min(float(scores.min()) for scores in drawn), max(float(scores.max()) for scores in drawn)
    return (0.0, 1.0) if lowest >= 0 and highest <= 1 else (lowest, highest)


def draw_map(
    axes: Axes,
    found: ScaleMap,
    answer: int,
    limits: tuple[float, float],
    window: WindowGeometry,
    stride: int,
    theme: Theme,
) -> None:
    height, width = found.picture.shape[1:]
    axes.imshow(found.picture.permute(1, 2, 0).cpu().numpy().clip(0, 255).astype(np.uint8))
    scores = found.scores[answer].cpu().numpy()
    rows, columns = scores.shape
    first = (window.window - stride) / 2  # left edge of the first cell
    extent = (first, first + stride * columns, first + stride * rows, first)
    low, high = limits
    axes.imshow(scores, vmin=low, vmax=high, cmap="inferno", alpha=0.6, extent=extent, interpolation="nearest")
    i, j = np.unravel_index(int(scores.argmax()), scores.shape)
    corner = (stride * int(j) - 0.5, stride * int(i) - 0.5)
    axes.add_patch(Rectangle(corner, window.window, window.window, fill=False, color=theme.right, linewidth=1.2))
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_anchor("NW")
    axes.axis("off")
