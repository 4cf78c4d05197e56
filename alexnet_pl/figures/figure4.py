"""Figure 4 (§7.1; §6.1 of 2012): test images with their five top labels; queries with nearest images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.figures.examples import Answer
from alexnet_pl.figures.style import Theme

COLUMNS = 4
CELL, EDGE, TITLE, BARS = 2.4, 0.15, 0.3, 1.55  # inches
LETTERS, FEWER = 22, 18  # of a class's name, above bars and below a neighbour
MARK = "✓"  # the right label, for whom its colour is not enough


def draw_bars(answers: Sequence[Answer], images: Tensor | None, classes: list[str], theme: Theme) -> Figure:
    """Left: each image (N, 3, size, size) uint8, where there are images, its label, and a bar a probable label."""
    rows = -(-len(answers) // COLUMNS)
    columns = min(COLUMNS, len(answers))
    picture = CELL - EDGE if images is not None else 0.0
    tall = picture + TITLE + BARS + 2 * EDGE
    size = columns * CELL + EDGE, rows * tall
    figure = Figure(figsize=size)
    for place, answer in enumerate(answers):
        row, column = divmod(place, COLUMNS)
        x, y = EDGE + column * CELL, size[1] - row * tall - EDGE
        if images is not None:
            axes = panel(figure, x, y - picture, picture, picture)
            axes.imshow(images[place].permute(1, 2, 0).numpy())
        draw_answer(panel(figure, x, y - picture - TITLE - BARS, CELL - EDGE, TITLE + BARS), answer, classes, theme)
    return figure


def panel(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes at a place in inches."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((x / across, y / up, width / across, height / up))
    axes.axis("off")
    return axes


def draw_answer(axes: Axes, answer: Answer, classes: list[str], theme: Theme) -> None:
    """The right label above; below, a line of words and a thin bar for each label, as long as it is probable."""
    axes.set(xlim=(0, 1), ylim=(5, -TITLE / BARS * 5))
    title = short(classes[answer.label]) if answer.label >= 0 else "label not known"
    axes.text(0, -0.25, title, weight="bold", fontsize=10, va="bottom")
    for line, (label, probability) in enumerate(zip(answer.best, answer.probabilities, strict=True)):
        right = label == answer.label
        axes.text(0, line + 0.5, short(classes[label]), fontsize=8, va="bottom", weight="bold" if right else None)
        said = f"{MARK} {probability:.2f}" if right else f"{probability:.2f}"
        axes.text(1, line + 0.5, said, fontsize=8, va="bottom", ha="right", weight="bold" if right else None)
        axes.barh(line + 0.7, 1, 0.24, color=theme.faint, alpha=0.5)
        axes.barh(line + 0.7, probability, 0.24, color=theme.right if right else theme.other)


def short(name: str, letters: int = LETTERS) -> str:
    """The first of a synset's words, cut where it is long."""
    first = name.split(",")[0]
    return first if len(first) <= letters else first[: letters - 1] + "…"


def draw_neighbours(
    queries: Tensor, found: Tensor, labels: np.ndarray, near: np.ndarray, classes: list[str], theme: Theme
) -> Figure:
    """Right: (Q, 3, size, size) queries in the first column, (Q, K, 3, size, size) nearest images beside them.

    `labels` (Q,) and `near` (Q, K): their classes, written below; those of another class than the query's are slanted.
    """
    count, nearest = near.shape
    side, name, gap = 1.25, 0.22, 0.25
    size = (nearest + 1) * (side + 0.08) + gap + 2 * EDGE, count * (side + name + 0.06) + 2 * EDGE + 0.25
    figure = Figure(figsize=size)
    for row in range(count):
        y = size[1] - EDGE - 0.25 - side - row * (side + name + 0.06)
        for column in range(nearest + 1):
            x = EDGE + column * (side + 0.08) + (gap if column else 0)
            axes = panel(figure, x, y, side, side)
            image, label = (found[row, column - 1], near[row, column - 1]) if column else (queries[row], labels[row])
            axes.imshow(image.permute(1, 2, 0).numpy())
            words = short(classes[label], FEWER) if label >= 0 else ""
            style = "italic" if column and label != labels[row] else "normal"
            weight = "normal" if column else "bold"
            axes.text(0, -0.03, words, transform=axes.transAxes, va="top", fontsize=7, style=style, weight=weight)
    for x, words in ((EDGE, "query"), (EDGE + side + 0.08 + gap, "the nearest training images by fc7")):
        figure.text(x / size[0], 1 - EDGE / size[1], words, va="top", weight="bold")
    return figure
