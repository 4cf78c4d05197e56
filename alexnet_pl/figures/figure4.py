"""Figure 4 (§7.1; §6.1 of 2012): test images with their top five labels; queries with their nearest images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.data.store.store import short_name
from alexnet_pl.figures.examples import SavedPrediction
from alexnet_pl.figures.labels import RIGHT, cut_to_width, format_probability
from alexnet_pl.figures.style import Theme, add_axes_inches

COLUMNS = 4
CELL, EDGE, TITLE, BARS = 2.4, 0.15, 0.3, 1.55  # inches
SIDE = 1.25  # inches of a query and of its neighbors
VALUE = 0.55  # inches for a probability, to the right of its label


def draw_bars(
    predictions: Sequence[SavedPrediction], images: Tensor | None, classes: list[str], theme: Theme
) -> Figure:
    """Draw Figure 4, left: each image with its label, and a bar for each of the five most probable labels.

    `images`: (N, 3, size, size) uint8, or None to draw the bars alone.
    """
    rows = -(-len(predictions) // COLUMNS)
    columns = min(COLUMNS, len(predictions))
    picture = CELL - EDGE if images is not None else 0.0
    tall = picture + TITLE + BARS + 2 * EDGE
    size = columns * CELL + EDGE, rows * tall
    figure = Figure(figsize=size)
    for position, prediction in enumerate(predictions):
        row, column = divmod(position, COLUMNS)
        x, y = EDGE + column * CELL, size[1] - row * tall - EDGE
        if images is not None:
            axes = add_axes_inches(figure, x, y - picture, picture, picture)
            axes.imshow(images[position].permute(1, 2, 0).numpy())
        draw_prediction(
            add_axes_inches(figure, x, y - picture - TITLE - BARS, CELL - EDGE, TITLE + BARS),
            prediction,
            classes,
            theme,
        )
    return figure


def draw_prediction(axes: Axes, prediction: SavedPrediction, classes: list[str], theme: Theme) -> None:
    """Draw the correct label, and below it the name, probability and bar of each predicted label."""
    axes.set(xlim=(0, 1), ylim=(5, -TITLE / BARS * 5))
    title = short_name(classes[prediction.label]) if prediction.label >= 0 else "label not known"
    cut_to_width(axes.text(0, -0.25, title, weight="bold", fontsize=10, va="bottom"), CELL - EDGE)
    for line, (label, probability) in enumerate(zip(prediction.best, prediction.probabilities, strict=True)):
        right = label == prediction.label
        style = {"fontsize": 8, "va": "bottom", "weight": "bold" if right else "normal"}
        cut_to_width(axes.text(0, line + 0.5, short_name(classes[label]), **style), CELL - EDGE - VALUE)
        shown = format_probability(probability)
        axes.text(1, line + 0.5, f"{RIGHT} {shown}" if right else shown, ha="right", **style)
        axes.barh(line + 0.7, 1, 0.24, color=theme.faint, alpha=0.5)
        axes.barh(line + 0.7, probability, 0.24, color=theme.right if right else theme.other)


def draw_neighbors(
    queries: Tensor,
    neighbors: Tensor,
    labels: np.ndarray,
    neighbor_labels: np.ndarray,
    classes: list[str],
) -> Figure:
    """Draw Figure 4, right: queries (Q, 3, size, size) in the first column, their nearest images beside them.

    `neighbors`: (Q, K, 3, size, size). `labels` (Q,) and `neighbor_labels` (Q, K): classes, written below the images,
    in italics if they differ from the query's.
    """
    count, nearest = neighbor_labels.shape
    across, down, second = SIDE + 0.08, SIDE + 0.28, EDGE + SIDE + 0.33  # steps, and the left edge of the neighbors
    size = second + nearest * across + EDGE, count * down + 2 * EDGE + 0.25
    figure = Figure(figsize=size)
    for row in range(count):
        y = size[1] - EDGE - 0.25 - SIDE - row * down
        draw_labeled(figure, (EDGE, y), queries[row], labels[row], classes, weight="bold")
        for column, label in enumerate(neighbor_labels[row]):
            style = "normal" if label == labels[row] else "italic"
            draw_labeled(figure, (second + column * across, y), neighbors[row, column], label, classes, style=style)
    for x, title in ((EDGE, "query"), (second, "the nearest training images by fc7")):
        figure.text(x / size[0], 1 - EDGE / size[1], title, va="top", weight="bold")
    return figure


def draw_labeled(
    figure: Figure, corner: tuple[float, float], image: Tensor, label: int, classes: list[str], **style: Any
) -> None:
    """Draw an image, with the name of its class below it unless the label is not known (−1). `corner`: its lower left
    one, in inches."""
    axes = add_axes_inches(figure, *corner, SIDE, SIDE)
    axes.imshow(image.permute(1, 2, 0).numpy())
    if label >= 0:
        name = short_name(classes[label])
        cut_to_width(axes.text(0, -0.03, name, transform=axes.transAxes, va="top", fontsize=7, **style), SIDE)
