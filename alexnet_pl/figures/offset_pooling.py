"""OverFeat's Figure 3, pooling from every offset in one dimension, and Table 5, drawn for a given network."""

from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from alexnet_pl.evaluation.dense import slide_classifier
from alexnet_pl.evaluation.image_scales import TABLE5, scale_sides
from alexnet_pl.figures.style import LIGHT, Theme
from alexnet_pl.models.overfeat import OverFeat

FIGURE3_SCALE = 2  # of Table 5: 20 cells high before pooling, as in the printed figure
ROW = 3.2  # distance between the rows of two offsets, in cells
HEADER = ["scale", "input", "layer 5, unpooled", "pooled, Δ = 0", "classifier, Δ = 0", "output map"]


class AxisSizes(NamedTuple):
    """Number of cells along one axis: before pooling, pooled from one offset, outputs of one offset, of all offsets."""

    before: int
    pooled: int
    coarse: int
    fine: int


def axis_sizes(net: OverFeat, pixels: int) -> AxisSizes:
    """Sizes along an axis of `pixels`, measured by running the network on the meta device."""
    own = net.window
    maps = net.convolve(torch.empty(1, 3, pixels, pixels, device="meta"))
    pooled = (maps.shape[2] - own.pool) // own.pool_stride + 1
    coarse, fine = (slide_classifier(net, maps, stride).shape[2] for stride in ("coarse", "fine"))
    return AxisSizes(maps.shape[2], pooled, coarse, fine)


def on_meta(net: OverFeat) -> OverFeat:
    """Network of the same geometry on the meta device, without weights."""
    with torch.device("meta"):
        return OverFeat(2, net.crop, net.kind, width=0.01)


def scale_table(net: OverFeat) -> list[list[str]]:
    """Rows of Table 5, below `HEADER`."""
    shape = on_meta(net)
    rows = []
    for scale in TABLE5:
        sides = scale_sides(net.window, scale)
        down, across = ((side, *axis_sizes(shape, side)) for side in sides)
        rows.append([str(scale), *(f"{a} × {b}" for a, b in zip(down, across, strict=True))])
    return rows


def draw_scale_table(net: OverFeat, theme: Theme = LIGHT) -> Figure:
    """Draw Table 5 for a network."""
    rows = scale_table(net)
    figure = Figure(figsize=(9, 0.36 * (len(rows) + 1)), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    table = axes.table(rows, colLabels=HEADER, loc="center", cellLoc="center")
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.auto_set_column_width(list(range(len(HEADER))))
    table.scale(1, 1.5)
    for (row, _), cell in table.get_celld().items():
        cell.set_edgecolor(theme.faint)
        cell.set_facecolor(theme.page)
        cell.get_text().set_color(theme.ink)
        cell.get_text().set_fontweight("bold" if row == 0 else "normal")
    return figure


def draw_offset_pooling(net: OverFeat, theme: Theme = LIGHT) -> Figure:
    """Draw one axis at scale 2: (a) layer 5 before pooling, (b) groups of cells pooled from each offset, (c) the pooled
    maps, (d) the classifier slid over each, (e) all outputs interleaved."""
    own = net.window
    sizes = axis_sizes(on_meta(net), scale_sides(own, FIGURE3_SCALE)[0])
    third, fourth = sizes.before + 3, sizes.before + sizes.pooled + 6
    fifth = fourth + sizes.coarse + 3
    width, height = fifth + sizes.fine + 9, ROW * own.pool_stride + 4
    figure = Figure(figsize=(9, 9 * height / width), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    axes.set(aspect="equal", xlim=(-4.5, width - 4.5), ylim=(1.8 - height, 1.8))
    draw_cells(axes, 0, 0, [theme.faint] * sizes.before, theme)
    colors = theme.series[: own.pool_stride]
    for offset, color in enumerate(colors):
        y, groups = -ROW * (offset + 1), (sizes.before - offset) // own.pool
        axes.text(-0.5, y - 0.5, f"Δ = {offset}", ha="right", va="center")
        draw_cells(axes, offset, y, [color] * groups, theme, own.pool)
        draw_cells(axes, third, y, [color] * groups, theme)
        draw_cells(axes, fourth, y, [color] * (groups - own.classifier + 1), theme)
        axes.plot([third, third + own.classifier], [y - 1.35] * 2, color=theme.ink, linewidth=2)
    outputs = [colors[i % len(colors)] for i in range(sizes.fine)]
    draw_cells(axes, fifth, -ROW * (1 + own.pool_stride) / 2, outputs, theme)
    titles = {0: f"(a) layer 5, {sizes.before} cells; (b) pooled by {own.pool}", third: "(c)", fourth: "(d)"}
    for x, title in {**titles, fifth: f"(e) {sizes.fine} outputs"}.items():
        axes.text(x, 0.6, title, va="bottom")
    return figure


def draw_cells(axes: Axes, x: float, y: float, colors: list[str], theme: Theme, width: int = 1) -> None:
    for i, color in enumerate(colors):
        axes.add_patch(Rectangle((x + i * width, y - 1), width, 1, facecolor=color, edgecolor=theme.page))
