"""Figure 2 (§4.5; §3.5 of 2012): the network's layers, drawn from the sizes of an actual forward pass.

Sides are drawn to the square root of their pixels, thickness to that of the number of maps. A window is a kernel, in
the proportion that it has to the maps it reads; lines in another colour are of layers that read the other GPU's maps.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from alexnet_pl.figures.style import Theme
from alexnet_pl.models.summary import Layer

MARGIN = np.array([0.6, 0.3])
SLANT = np.array([0.42, 0.30])  # a solid's depth goes up and to the right
PIXEL, MAP, UNIT = 0.27, 0.085, 0.045  # of the drawing for the square root of one
GAP, INCH = 0.95, 0.68  # between layers; inches for one of the drawing
BAR, LINE = 0.22, 0.19  # thickness of a fully connected layer; height of a line of words


class Solid(NamedTuple):
    """A box of the drawing: its lower left corner in front; thickness, height, depth."""

    corner: np.ndarray
    size: tuple[float, float, float]

    def at(self, right: float, up: float, back: float) -> np.ndarray:
        """A point of it, each coordinate from 0 to 1."""
        thickness, height, depth = self.size
        return self.corner + np.array([right * thickness, up * height]) + back * depth * SLANT

    @property
    def faces(self) -> list[list[np.ndarray]]:
        """Front, right side, top."""
        front = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
        side = [(1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
        top = [(0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)]
        return [[self.at(*point) for point in face] for face in (front, side, top)]

    def window(self, share: float, up: float) -> "Solid":
        """A kernel in it: as thick, `share` of its height and depth, its middle at `up` of the height."""
        thickness, height, depth = self.size
        middle = min(max(up, share / 2), 1 - share / 2)
        return Solid(self.at(0, middle - share / 2, 0.5 - share / 2), (thickness, height * share, depth * share))


def layer_solid(shape: tuple[int, ...], towers: int, x: float, y: float) -> Solid:
    """One tower's part of (maps, side, side) or (units,), from `x` on; `y` is the height of its middle."""
    if len(shape) == 3:
        side = PIXEL * sqrt(shape[1])
        size = MAP * sqrt(shape[0] / towers), side, side
    else:
        size = BAR, UNIT * sqrt(shape[0] / towers), BAR
    return Solid(np.array([x, y - (size[1] + size[2] * SLANT[1]) / 2]), size)


def arrange(image: tuple[int, ...], layers: list[Layer]) -> list[list[Solid]]:
    """The solids of the image and of each layer, from left to right, GPU 1's above GPU 2's."""
    columns = [[layer_solid(image, 1, 0, 0)]]
    spread = (layer_solid(layer.output_shape, layer.towers, 0, 0) for layer in layers if layer.towers > 1)
    tallest = max((one.at(0, 1, 1)[1] for one in spread), default=0.0)
    for layer in layers:
        x = float(columns[-1][0].at(1, 0, 1)[0]) + GAP
        heights = [0.0] if layer.towers == 1 else [tallest + 0.3, -tallest - 0.3]
        columns.append([layer_solid(layer.output_shape, layer.towers, x, y) for y in heights])
    return columns


def draw_figure2(layers: list[Layer], image: tuple[int, ...], theme: Theme) -> Figure:
    columns = arrange(image, layers)
    corners = np.array([point for column in columns for one in column for face in one.faces for point in face])
    (left, below), (right, top) = corners.min(0) - MARGIN - (0, 0.45), corners.max(0) + MARGIN
    bottom = below - 0.25 - LINE * max(len(described(layer)) for layer in layers)
    figure = Figure(figsize=((right - left) * INCH, (top - bottom) * INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.axis("off")
    for number, column in enumerate(columns):
        for one in column:
            paint(axes, one, theme, 10 * number)
    for number, layer in enumerate(layers):
        connect(axes, layer, columns[number], columns[number + 1], theme, 10 * number + 1)
    shapes = [image, *(layer.output_shape for layer in layers)]
    for shape, column in zip(shapes, columns, strict=True):
        for one in column:
            write_sizes(axes, shape, len(column), one, theme)
    write_names(axes, layers, columns, below, theme)
    return figure


def paint(axes: Axes, one: Solid, theme: Theme, order: int) -> None:
    for face, colour in zip(one.faces, theme.box, strict=True):
        axes.add_patch(Polygon(face, facecolor=colour, edgecolor=theme.ink, linewidth=0.6, zorder=order))


def connect(axes: Axes, layer: Layer, sources: list[Solid], targets: list[Solid], theme: Theme, order: int) -> None:
    """Windows of kernels and lines to what they make; those that come from the other tower in their own colour."""
    for i, target in enumerate(targets):
        for j, source in enumerate(sources):
            other = len(sources) == len(targets) == 2 and i != j
            if other and layer.within_tower:
                continue
            colour = theme.series[1] if other else theme.series[2]
            if not layer.kernel:
                link(axes, source.at(1, 0.5, 0.5), target.at(0, 0.5, 0), colour, order)
                continue
            up = 0.5 if len(targets) == len(sources) else (0.72, 0.28)[i]
            window = source.window(layer.kernel / layer.input_shape[1], up)
            if not other:
                outline(axes, window, theme.ink, order + 1)
            for corner in window.faces[1]:
                link(axes, corner, target.at(0, 0.5, 0), colour, order)


def outline(axes: Axes, window: Solid, colour: str, order: int) -> None:
    for face, style in zip(window.faces, (":", "-", ":"), strict=True):
        axes.add_patch(Polygon(face, fill=False, edgecolor=colour, linewidth=0.7, linestyle=style, zorder=order))


def link(axes: Axes, start: np.ndarray, end: np.ndarray, colour: str, order: int) -> None:
    axes.plot(*np.array([start, end]).T, color=colour, linewidth=0.6, zorder=order)


def write_sizes(axes: Axes, shape: tuple[int, ...], towers: int, one: Solid, theme: Theme) -> None:
    """Along the edges: height, width, maps of this tower."""
    words = [(one.at(0.5, 0, 0) - (0, 0.06), str(shape[0] // towers), "center", "top")]
    if len(shape) == 3:
        words.append((one.at(0, 0, 0) - (0.06, -0.02), str(shape[1]), "right", "bottom"))
        words.append((one.at(1, 0, 0.5) - (-0.06, 0.06), str(shape[2]), "left", "top"))
    ground = {"facecolor": theme.page, "edgecolor": "none", "pad": 0.4}  # where lines cross
    for place, word, across, down in words:
        axes.text(place[0], place[1], word, ha=across, va=down, fontsize=8, zorder=1000, bbox=ground)


def write_names(axes: Axes, layers: list[Layer], columns: list[list[Solid]], y: float, theme: Theme) -> None:
    names = [("image", ["windows: kernels"]), *((layer.name, described(layer)) for layer in layers)]
    middles = [(column[0].at(0, 0, 0)[0] + column[0].at(1, 0, 1)[0]) / 2 for column in columns]
    for (name, words), x in zip(names, middles, strict=True):
        axes.text(x, y, name, ha="center", va="bottom", weight="bold", fontsize=9)
        for number, word in enumerate(words):
            axes.text(x, y - 0.08 - LINE * number, word, ha="center", va="top", fontsize=7)
    if len(columns[1]) == 2:
        cross = ("lines of this colour:", "from the other GPU")
        for number, word in enumerate(cross, 1):
            axes.text(
                middles[0], y - 0.08 - LINE * number, word, ha="center", va="top", fontsize=7, color=theme.series[1]
            )
        for number, one in enumerate(columns[1], 1):
            x, up = one.at(0, 1, 0)
            axes.text(x - 0.1, up + 0.1, f"GPU {number}", ha="right", va="bottom", weight="bold")


def described(layer: Layer) -> list[str]:
    if not layer.kernel:
        return [f"{layer.output_shape[0]:,} units", *layer.followed_by]
    stride = [f"every {layer.stride} pixels"] if layer.stride > 1 else []
    kernels = f"{layer.output_shape[0]} kernels", f"{layer.kernel}×{layer.kernel}×{layer.maps}"
    return [line for words in (*kernels, *stride, *layer.followed_by) for line in words.split("\n")]
