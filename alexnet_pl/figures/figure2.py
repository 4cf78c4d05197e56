"""Figure 2 (§4.5; §3.5 of 2012): the network's layers, drawn from the sizes in a forward pass.

Sides are proportional to the square root of their pixels, thickness to that of the number of maps. Windows show kernels
in proportion to the maps they read. Lines in another color show layers that read the other GPU's maps.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.text import Text

from alexnet_pl.figures.style import Theme
from alexnet_pl.models.summary import Layer

MARGIN = np.array([0.6, 0.3])
SLANT = np.array([0.42, 0.30])  # direction of depth: up and to the right
PIXEL, MAP, UNIT = 0.27, 0.085, 0.045  # drawing units per square root of pixels, maps and units
GAP, INCH = 0.95, 0.68  # distance between layers; inches per drawing unit
BAR, LINE = 0.22, 0.19  # thickness of a fully connected layer; height of a line of text
HALO = 0.4  # points around a size in which it hides lines
KERNELS, CROSSING = ["dotted boxes:", "kernels of the", "next layer"], ["lines of this color:", "from the other GPU"]

Place = tuple[np.ndarray, str, str]
"""Position of a text, and its horizontal and vertical alignment."""


class Solid(NamedTuple):
    """Box of the drawing: its lower left front corner, and (thickness, height, depth)."""

    corner: np.ndarray
    size: tuple[float, float, float]

    def point(self, right: float, up: float, back: float) -> np.ndarray:
        """Point of the box, with each coordinate from 0 to 1."""
        thickness, height, depth = self.size
        return self.corner + np.array([right * thickness, up * height]) + back * depth * SLANT

    @property
    def faces(self) -> list[list[np.ndarray]]:
        """Corners of the front, right side and top."""
        front = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
        side = [(1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
        top = [(0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)]
        return [[self.point(*point) for point in face] for face in (front, side, top)]

    def window(self, share: float, up: float) -> "Solid":
        """Kernel in the box: same thickness, `share` of its height and depth, centered at `up` of the height."""
        thickness, height, depth = self.size
        middle = min(max(up, share / 2), 1 - share / 2)
        return Solid(self.point(0, middle - share / 2, 0.5 - share / 2), (thickness, height * share, depth * share))


def layer_solid(shape: tuple[int, ...], towers: int, x: float, y: float) -> Solid:
    """Box of one tower's part of (maps, side, side) or (units,), starting at `x` and centered at `y`."""
    if len(shape) == 3:
        side = PIXEL * sqrt(shape[1])
        size = MAP * sqrt(shape[0] / towers), side, side
    else:
        size = BAR, UNIT * sqrt(shape[0] / towers), BAR
    return Solid(np.array([x, y - (size[1] + size[2] * SLANT[1]) / 2]), size)


def arrange(image: tuple[int, ...], layers: list[Layer]) -> list[list[Solid]]:
    """Arrange the boxes of image and layers from left to right, GPU 1 above GPU 2."""
    columns = [[layer_solid(image, 1, 0, 0)]]
    tower_solids = (layer_solid(layer.output_shape, layer.towers, 0, 0) for layer in layers if layer.towers > 1)
    tallest = max((solid.point(0, 1, 1)[1] for solid in tower_solids), default=0.0)
    for layer in layers:
        x = float(columns[-1][0].point(1, 0, 1)[0]) + GAP
        heights = [0.0] if layer.towers == 1 else [tallest + 0.3, -tallest - 0.3]
        columns.append([layer_solid(layer.output_shape, layer.towers, x, y) for y in heights])
    return columns


def draw_figure2(layers: list[Layer], image: tuple[int, ...], theme: Theme) -> Figure:
    columns = arrange(image, layers)
    corners = np.array([point for column in columns for solid in column for face in solid.faces for point in face])
    (left, below), (right, top) = corners.min(0) - MARGIN - (0, 0.45), corners.max(0) + MARGIN
    bottom = below - 0.25 - LINE * max(len(KERNELS + CROSSING), *(len(describe_layer(layer)) for layer in layers))
    figure = Figure(figsize=((right - left) * INCH, (top - bottom) * INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.axis("off")
    for number, column in enumerate(columns):
        for one in column:
            draw_solid(axes, one, theme, 10 * number)
    for number, layer in enumerate(layers):
        draw_connections(axes, layer, columns[number], columns[number + 1], theme, 10 * number + 1)
    shapes = [image, *(layer.output_shape for layer in layers)]
    for shape, column in zip(shapes, columns, strict=True):
        write_sizes(axes, shape, column, theme)
    write_names(axes, layers, columns, below, theme)
    return figure


def draw_solid(axes: Axes, solid: Solid, theme: Theme, order: int) -> None:
    for face, color in zip(solid.faces, theme.box, strict=True):
        axes.add_patch(Polygon(face, facecolor=color, edgecolor=theme.ink, linewidth=0.6, zorder=order))


def draw_connections(
    axes: Axes, layer: Layer, sources: list[Solid], targets: list[Solid], theme: Theme, order: int
) -> None:
    """Draw kernel windows, and lines to their outputs; lines from the other tower in another color."""
    for i, target in enumerate(targets):
        for j, source in enumerate(sources):
            crosses = len(sources) == len(targets) == 2 and i != j
            if crosses and layer.within_tower:
                continue
            color = theme.series[1] if crosses else theme.series[2]
            if not layer.kernel:
                draw_line(axes, source.point(1, 0.5, 0.5), target.point(0, 0.5, 0), color, order)
                continue
            up = 0.5 if len(targets) == len(sources) else (0.72, 0.28)[i]
            window = source.window(layer.kernel / layer.input_shape[1], up)
            if not crosses:
                draw_window(axes, window, theme.ink, order + 1)
            for corner in window.faces[1]:
                draw_line(axes, corner, target.point(0, 0.5, 0), color, order)


def draw_window(axes: Axes, window: Solid, color: str, order: int) -> None:
    for face, style in zip(window.faces, (":", "-", ":"), strict=True):
        axes.add_patch(Polygon(face, fill=False, edgecolor=color, linewidth=0.7, linestyle=style, zorder=order))


def draw_line(axes: Axes, start: np.ndarray, end: np.ndarray, color: str, order: int) -> None:
    axes.plot(*np.array([start, end]).T, color=color, linewidth=0.6, zorder=order)


def write_sizes(axes: Axes, shape: tuple[int, ...], solids: list[Solid], theme: Theme) -> None:
    """Write height, width and number of maps along the edges of a layer's boxes, one of each tower, where no line
    between layers passes: at the same edge of all boxes, if one is free at all of them."""
    background = {"facecolor": theme.page, "edgecolor": "none", "pad": HALO}
    sizes = (shape[0] // len(solids), *shape[1:])
    for number, size in enumerate(sizes):
        labels = [axes.text(0, 0, str(size), fontsize=8, zorder=1000, bbox=background) for _ in solids]
        places = [size_places(solid)[number] for solid in solids]
        free = [find_free(axes, *pair) for pair in zip(labels, places, strict=True)]
        shared = [place for place in free[0] if all(place in other for other in free)]
        for label, own, possible in zip(labels, places, free, strict=True):
            move(label, own[(shared or possible or [0])[0]])


def size_places(solid: Solid) -> tuple[list[Place], list[Place], list[Place]]:
    """Places beside a box for its number of maps, height and width, the best first."""
    front = solid.point(0.5, 0, 0) - (0, 0.06)
    below_left, above_left = solid.point(0, 0, 0) - (0.06, -0.02), solid.point(0, 1, 0) - (0.06, -0.02)
    right, above = solid.point(1, 0, 0.5) - (-0.06, 0.06), solid.point(0, 1, 0.7) - (0.04, 0)
    under_left, under_right = solid.point(0, 0, 0) - (0.02, 0.06), solid.point(1, 0, 0) - (-0.02, 0.06)
    return (
        [(front, "center", "top")],
        [(below_left, "right", "bottom"), (above_left, "right", "center"), (under_left, "right", "top")],
        [(right, "left", "top"), (above, "right", "bottom"), (under_right, "left", "top")],
    )


def find_free(axes: Axes, label: Text, places: list[Place]) -> list[int]:
    """Numbers of the places at which no line passes through a label."""
    free = []
    for number, place in enumerate(places):
        move(label, place)
        if not is_crossed(label, axes):
            free.append(number)
    return free


def move(label: Text, place: Place) -> None:
    position, across, down = place
    label.set(position=position, horizontalalignment=across, verticalalignment=down)


def is_crossed(label: Text, axes: Axes) -> bool:
    """Whether a line drawn so far passes through a text or what hides lines behind it."""
    box = label.get_window_extent().padded(2 * HALO)
    lines = (axes.transData.transform_path(line.get_path()) for line in axes.lines)
    return any(line.intersects_bbox(box, filled=False) for line in lines)


def write_names(axes: Axes, layers: list[Layer], columns: list[list[Solid]], y: float, theme: Theme) -> None:
    names = [("image", KERNELS), *((layer.name, describe_layer(layer)) for layer in layers)]
    middles = [(column[0].point(0, 0, 0)[0] + column[0].point(1, 0, 1)[0]) / 2 for column in columns]
    for (name, lines), x in zip(names, middles, strict=True):
        axes.text(x, y, name, ha="center", va="bottom", weight="bold", fontsize=9)
        for number, line in enumerate(lines):
            axes.text(x, y - 0.08 - LINE * number, line, ha="center", va="top", fontsize=7)
    if len(columns[1]) == 2:
        for number, line in enumerate(CROSSING, len(KERNELS)):
            axes.text(
                middles[0], y - 0.08 - LINE * number, line, ha="center", va="top", fontsize=7, color=theme.series[1]
            )
        for number, solid in enumerate(columns[1], 1):
            x, up = solid.point(0, 1, 1)  # above the box: lines from the image come to its left
            axes.text(x, up + 0.06, f"GPU {number}", ha="left", va="bottom", weight="bold")


def describe_layer(layer: Layer) -> list[str]:
    if not layer.kernel:
        return [f"{layer.output_shape[0]:,} units", *layer.followed_by]
    stride = [f"every {layer.stride} pixels"] if layer.stride > 1 else []
    kernels = f"{layer.output_shape[0]} kernels", f"{layer.kernel}×{layer.kernel}×{layer.maps}"
    return [line for words in (*kernels, *stride, *layer.followed_by) for line in words.split("\n")]
