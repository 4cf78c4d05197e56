"""Precision-recall curves of short codes (§7.1): one column for each number of bits, one row for each kind of relevant
image."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_pl.figures.picture import picture_lines
from alexnet_pl.figures.style import Theme, save_drawing
from alexnet_pl.json_records import JsonObject
from alexnet_pl.retrieval.code_evaluation import (
    CLASS,
    FLOAT,
    FLOAT_PIXELS,
    NEAREST,
    UNTRAINED,
    method_sort_key,
    split_weight,
    trained_method,
)
from alexnet_pl.retrieval.code_result import CodesResult, RowKey, rows_by_method
from alexnet_pl.retrieval.precision_recall import RANKS

PCA, RANDOM = UNTRAINED
ROWS = {NEAREST: f"the {RANKS[-1]} nearest by fc7", CLASS: "the query's class"}
NARROW = 6.4  # inches: the smallest width, in which the legend has one column
ALWAYS_RIGHT = " (upper row: always 100 %)"
MARKED = RANKS[-1]  # rank with a dot on each curve
STYLES = {  # method → index into the theme's series, line style
    FLOAT: (2, "-"),
    trained_method("fc7", 1): (0, "-"),
    trained_method("fc7", 0): (0, "--"),
    PCA: (1, ":"),
    RANDOM: (1, "-"),
    trained_method("pixels", 1): (2, "-."),
    trained_method("pixels", 0): (2, "--"),
    FLOAT_PIXELS: (2, ":"),
}
UNLABELLED = "_"
OTHER_WEIGHT = (0, (6, 1, 1, 1, 1, 1))  # line style of a neighbor loss with a weight other than 1

Curves = dict[RowKey, JsonObject]
"""Curves of the run of the lowest seed, by method and number of bits."""


def picture_codes(groups: Sequence[Sequence[CodesResult]]) -> list[str]:
    """Markdown of the picture of each group's curves; empty for a group of older tests, which have no curves."""
    return [
        "\n".join(picture_lines(".", picture_name(number), describe_curves(tests))) if collect_curves(tests) else ""
        for number, tests in enumerate(groups, 1)
    ]


def describe_curves(tests: Sequence[CodesResult]) -> str:
    """Words for readers who do not see the picture."""
    sizes = sorted({bits for _, bits in collect_curves(tests) if bits})
    return f"Precision-recall curves of codes of {', '.join(map(str, sizes))} bits; {describe_images(tests)}"


def describe_images(tests: Sequence[CodesResult]) -> str:
    dataset = tests[0].dataset
    return f"{dataset.name}: {dataset.split} images as queries, {dataset.train_images:,} training images searched"


def picture_name(number: int) -> str:
    return "codes" if number == 1 else f"codes-{number}"


def save_code_curves(groups: Sequence[Sequence[CodesResult]], folder: Path) -> None:
    """Draw the curves of each group as codes.png, codes-2.png, …"""
    for number, tests in enumerate(groups, 1):
        if curves := collect_curves(tests):
            drawing = partial(draw_code_curves, curves, images=describe_images(tests))
            save_drawing(drawing, folder / picture_name(number))


def collect_curves(tests: Sequence[CodesResult]) -> Curves:
    """Curves of random queries; those of older tests, which are of other images, if no test of the group has them."""
    comparable = [test for test in tests if test.curve_queries] or tests
    lowest = {key: rows[min(rows)] for key, rows in rows_by_method(comparable).items()}
    return {key: row["curves"] for key, row in lowest.items() if row.get("curves")}


def draw_code_curves(curves: Curves, theme: Theme, images: str = "") -> Figure:
    """Draw precision against recall, in percent, with a mark where `MARKED` images are retrieved. `images`: title."""
    sizes = sorted({bits for _, bits in curves if bits})
    kinds = [kind for kind in ROWS if any(kind in one for one in curves.values())]
    figure = Figure(figsize=(max(NARROW, 1.2 + 2.3 * len(sizes)), 0.9 + 2.5 * len(kinds)), layout="constrained")
    panels = figure.subplots(len(kinds), len(sizes), sharex=True, sharey="row", squeeze=False)
    for axes_of_kind, kind in zip(panels, kinds, strict=True):
        for axes, bits in zip(axes_of_kind, sizes, strict=True):
            draw_panel(axes, select_curves(curves, kind, bits), theme)
        axes_of_kind[0].set_ylim(0, None)  # of the whole row, after all of its curves are drawn
        axes_of_kind[0].set_ylabel(f"precision, %\n({ROWS[kind]})")
    for axes, bits in zip(panels[0], sizes, strict=True):
        axes.set_title(f"{bits} bits", fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("recall, %")
    figure.suptitle(images, fontsize=10)
    add_legend(figure, ALWAYS_RIGHT if {*kinds} == {*ROWS} else "")
    return figure


def select_curves(curves: Curves, kind: str, bits: int) -> dict[str, JsonObject]:
    """Curves of one panel by method: of codes with `bits` bits, and of float vectors."""
    shown = {method: one[kind] for (method, size), one in curves.items() if size in (None, bits) and kind in one}
    if kind == NEAREST:
        shown.pop(FLOAT, None)  # see ALWAYS_RIGHT
    return {method: shown[method] for method in sorted(shown, key=method_sort_key)}


def add_legend(figure: Figure, note: str) -> None:
    """`note`: added to the name of the float vectors of fc7."""
    lines = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
    names = sorted(lines.keys() - {UNLABELLED}, key=method_sort_key)
    words = [name + note * (name == FLOAT) for name in names]
    columns = 2 if figure.get_figwidth() > NARROW else 1
    figure.legend([lines[name] for name in names], words, loc="outside lower center", ncols=columns)


def draw_panel(axes: Axes, curves: dict[str, JsonObject], theme: Theme) -> None:
    for method, curve in curves.items():
        if not curve["ranks"]:
            continue
        name, weight = split_weight(method)
        series, style = STYLES[name] if weight == 1 else (STYLES[name][0], OTHER_WEIGHT)
        color = theme.series[series]
        axes.plot(curve["recall"], curve["precision"], linestyle=style, color=color, linewidth=1.3, label=method)
        at = int(np.argmin(np.abs(np.array(curve["ranks"]) - MARKED)))
        axes.plot(curve["recall"][at], curve["precision"][at], "o", color=color, markersize=3, label=UNLABELLED)
    axes.set_xlim(0, 100)
    axes.grid(linewidth=0.5)
