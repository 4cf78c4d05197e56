"""Figure of units: for some units of each layer, an image that maximizes the unit, and its strongest patches."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.data.store.store import short_name
from alexnet_pl.figures.labels import cut_to_width
from alexnet_pl.figures.style import Theme, add_axes_inches

CELL, GAP, BETWEEN, LEFT, TITLE = 0.72, 0.05, 0.32, 0.38, 0.34  # inches
ACROSS = 2  # units per row


class LayerUnits(NamedTuple):
    """Units of a layer. `maximal`: (K, 3, h, w) pixels in 0 … 255; `patches`: (K, count, 3, h, w) uint8."""

    name: str
    numbers: list[int]
    maximal: Tensor
    patches: Tensor


class ClassImages(NamedTuple):
    """`maximal`: (K, 3, h, w) pixels in 0 … 255, each the image that maximizes a class's output."""

    names: list[str]
    maximal: Tensor


def draw_units(layers: Sequence[LayerUnits], classes: ClassImages, theme: Theme) -> Figure:
    """Draw one block per layer: for each unit its number, the image that maximizes it (framed) and its patches."""
    count = layers[0].patches.shape[1]
    width = LEFT + (count + 1) * (CELL + GAP) + BETWEEN
    lines = [-(-len(layer.numbers) // ACROSS) for layer in layers]
    height = sum(TITLE + line * (CELL + GAP) for line in lines) + TITLE + CELL + 0.3
    figure = Figure(figsize=(ACROSS * width, height))
    y = height
    for layer, line in zip(layers, lines, strict=True):
        figure.text(0.1 / figure.get_figwidth(), (y - 0.22) / height, layer.name, weight="bold", fontsize=9)
        y -= TITLE
        for position, number in enumerate(layer.numbers):
            row, column = divmod(position, ACROSS)
            draw_unit(figure, column * width, y - (row + 1) * (CELL + GAP), layer, position, number, theme)
        y -= line * (CELL + GAP)
    draw_classes(figure, y, classes, theme)
    return figure


def draw_unit(figure: Figure, x: float, y: float, layer: LayerUnits, position: int, number: int, theme: Theme) -> None:
    for column, pixels in enumerate([layer.maximal[position], *layer.patches[position]]):
        extra = BETWEEN / 3 if column else 0
        axes = add_axes_inches(figure, x + LEFT + column * (CELL + GAP) + extra, y, CELL, CELL)
        show(axes, pixels)
        if column == 0:
            frame(axes, theme)
            axes.text(-0.08, 0.5, f"{number}", transform=axes.transAxes, ha="right", va="center", fontsize=7)


def draw_classes(figure: Figure, y: float, classes: ClassImages, theme: Theme) -> None:
    """Draw the last row: images that maximize the outputs of classes."""
    height, side = figure.get_figheight(), CELL
    figure.text(0.1 / figure.get_figwidth(), (y - 0.22) / height, "classes", weight="bold", fontsize=9)
    pitch = (figure.get_figwidth() - LEFT) / len(classes.names)
    for column, (name, pixels) in enumerate(zip(classes.names, classes.maximal, strict=True)):
        axes = add_axes_inches(figure, LEFT + column * pitch, y - TITLE - side, side, side)
        show(axes, pixels)
        frame(axes, theme)
        below = axes.text(0, -0.06, short_name(name), transform=axes.transAxes, va="top", fontsize=7)
        cut_to_width(below, pitch - GAP)


def show(axes: Axes, pixels: Tensor) -> None:
    axes.imshow(pixels.permute(1, 2, 0).float().numpy() / 255, vmin=0, vmax=1)


def frame(axes: Axes, theme: Theme) -> None:
    axes.axis("on")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, linewidth=1.4, color=theme.right)
