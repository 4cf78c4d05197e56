"""Comparison of search methods (Figure 4, right): queries beside the nearest images that each method finds."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.retrieval.gallery import ImageIndex
from alexnet_pl.retrieval.search import Neighbors

RIGHT, WRONG = "#0072B2", "#D55E00"  # distinct for color-blind readers; wrong ones are also dashed
INCHES = 0.85  # per image


class SearchResult(NamedTuple):
    """Result of one method: images (queries, k, 3, size, size) uint8, and whether each has its query's class."""

    pictures: Tensor
    right: np.ndarray


def draw_sheet(queries: Tensor, results: Mapping[str, SearchResult]) -> Figure:
    """Draw one row per query, (queries, 3, size, size) uint8: the query, then each method's results, nearest first."""
    blocks = [result.pictures.shape[1] for result in results.values()]
    widths = [1.0, *(width for count in blocks for width in (0.25, *[1.0] * count))]
    size = INCHES * sum(widths), INCHES * (len(queries) + 0.7)
    figure = Figure(size)
    grid = figure.add_gridspec(
        len(queries), len(widths), width_ratios=widths, wspace=0.06, hspace=0.06,
        left=0.005, right=0.995, bottom=0.01, top=1 - 0.6 / (len(queries) + 0.7),
    )  # fmt: skip
    for i, query in enumerate(queries):
        show_image(figure.add_subplot(grid[i, 0]), query, "query" if i == 0 else "")
        column = 1
        for name, found in results.items():
            for j, picture in enumerate(found.pictures[i]):
                axes = figure.add_subplot(grid[i, column + 1 + j])
                show_image(axes, picture, name if i == 0 and j == 0 else "")
                frame_image(axes, bool(found.right[i, j]))
            column += 1 + found.pictures.shape[1]
    return figure


def compare_neighbors(
    queries: ImageIndex, numbers: np.ndarray, index: ImageIndex, neighbors: Mapping[str, Neighbors]
) -> Figure:
    """Draw images `numbers` of `queries`, and beside each the neighbors that each method found in `index`."""
    labels = queries.features.labels[numbers, None]
    results = {
        name: SearchResult(
            index.read_images(near.numbers.ravel()).unflatten(0, near.numbers.shape),
            index.features.labels[near.numbers] == labels,
        )
        for name, near in neighbors.items()
    }
    return draw_sheet(queries.read_images(numbers), results)


def show_image(axes: Axes, picture: Tensor, title: str) -> None:
    axes.imshow(picture.permute(1, 2, 0).numpy())
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize=10)


def frame_image(axes: Axes, right: bool) -> None:
    color, style = (RIGHT, "-") if right else (WRONG, (0, (2, 1)))
    axes.spines[:].set(visible=True, linewidth=2.5, color=color, linestyle=style, capstyle="butt")
