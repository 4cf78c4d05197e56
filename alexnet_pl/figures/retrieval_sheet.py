"""Queries beside their nearest images (Figure 4, right), by several search methods side by side."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.retrieval.gallery import ImageIndex
from alexnet_pl.retrieval.search import Neighbours

RIGHT, WRONG = "#0072B2", "#D55E00"  # told apart by colour-blind people too; wrong ones are also dashed


class Found(NamedTuple):
    """Result of one search method: (queries, k, 3, size, size) uint8, and whether each has its query's class."""

    pictures: Tensor
    right: np.ndarray


def draw_sheet(queries: Tensor, ways: Mapping[str, Found], inch: float = 0.85) -> Figure:
    """A line a query, (queries, 3, size, size) uint8: itself, then each way's neighbours, nearest first."""
    blocks = [found.pictures.shape[1] for found in ways.values()]
    widths = [1.0, *(width for count in blocks for width in (0.25, *[1.0] * count))]
    size = inch * sum(widths), inch * (len(queries) + 0.7)
    figure = Figure(size)
    grid = figure.add_gridspec(
        len(queries), len(widths), width_ratios=widths, wspace=0.06, hspace=0.06,
        left=0.005, right=0.995, bottom=0.01, top=1 - 0.6 / (len(queries) + 0.7),
    )  # fmt: skip
    for i, query in enumerate(queries):
        show_image(figure.add_subplot(grid[i, 0]), query, "query" if i == 0 else "")
        column = 1
        for name, found in ways.items():
            for j, picture in enumerate(found.pictures[i]):
                axes = figure.add_subplot(grid[i, column + 1 + j])
                show_image(axes, picture, name if i == 0 and j == 0 else "")
                frame(axes, bool(found.right[i, j]))
            column += 1 + found.pictures.shape[1]
    return figure


def compare_neighbors(
    queries: ImageIndex, numbers: np.ndarray, index: ImageIndex, found: Mapping[str, Neighbours]
) -> Figure:
    """Images `numbers` of `queries`, and beside each what every search has found in `index`."""
    labels = queries.features.labels[numbers, None]
    ways = {
        name: Found(
            index.images_at(near.numbers.ravel()).unflatten(0, near.numbers.shape),
            index.features.labels[near.numbers] == labels,
        )
        for name, near in found.items()
    }
    return draw_sheet(queries.images_at(numbers), ways)


def show_image(axes: Axes, picture: Tensor, title: str) -> None:
    axes.imshow(picture.permute(1, 2, 0).numpy())
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize=10)


def frame(axes: Axes, right: bool) -> None:
    colour, style = (RIGHT, "-") if right else (WRONG, (0, (2, 1)))
    axes.spines[:].set(visible=True, linewidth=2.5, color=colour, linestyle=style, capstyle="butt")
