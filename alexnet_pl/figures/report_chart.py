"""report.png: chart of the paper's numbers beside ours (Tables 1 and 2, §4, §5), with intervals."""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.figures.style import Theme
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.proxies import ProxyResults
from alexnet_pl.paper.rows import ReportRow

ChartLine = tuple[str, float, Estimate | Difference | None]
"""(label, the paper's value, ours)."""
MISSING = "not yet measured"


class Panel(NamedTuple):
    """Rows of one axis; `relative`: whether their values are differences."""

    title: str
    lines: Sequence[ChartLine]
    relative: bool


def draw_comparison_chart(rows: Sequence[ReportRow], proxies: Sequence[ProxyResults], theme: Theme) -> Figure:
    """Draw error rates and differences on the paper's images, and below them a panel for each proxy data set."""
    panels = [
        *error_panels(rows),
        Panel("Increase of the top-1 error without a part, points", chart_lines(rows, True), True),
        *(
            Panel(
                f"{proxy.kind}: increase of the top-1 error, points\n{short_description(proxy)}",
                proxy_lines(proxy),
                True,
            )
            for proxy in proxies
        ),
    ]
    shown = [panel for panel in panels if panel.lines]
    heights = [len(panel.lines) + 3 for panel in shown]
    figure = Figure(figsize=(9.5, 0.3 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, panel in zip(axes, shown, strict=True):
        draw_panel(axis, panel, theme)
    marks = {label: mark for axis in axes for mark, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks.keys(), loc="outside upper right", ncols=len(marks))
    return figure


def error_panels(rows: Sequence[ReportRow]) -> list[Panel]:
    """One panel of error rates for each of the paper's data sets: rates on different images are not compared."""
    by_images: dict[str | None, list[ReportRow]] = {}
    for row in rows:
        by_images.setdefault(row.claim.data, []).append(row)
    return [Panel(f"Top-1 error on {name}, %", chart_lines(group, False), False) for name, group in by_images.items()]


def chart_lines(rows: Sequence[ReportRow], relative: bool) -> list[ChartLine]:
    """Lines of the measurable claims with a top-1 error, either error rates or differences (`relative`)."""
    return [
        (label_row(row), row.claim.values[ERRORS[0]], row.measured.get(ERRORS[0]))
        for row in rows
        if ERRORS[0] in row.claim.values and row.claim.relative == relative and row.is_measurable
    ]


def label_row(row: ReportRow) -> str:
    """Name and place of a claim; for a difference also its images, which are not in the title of the panel."""
    images = f", {row.claim.data}" if row.claim.relative else ""
    number = "" if isfinite(row.claim.values[ERRORS[0]]) else "; no number in the paper"
    return f"{row.claim.label} ({row.claim.place}{images}{number})"


def proxy_lines(proxy: ProxyResults) -> list[ChartLine]:
    """Comparisons on a proxy data set, without networks that did not train, whose differences would set the scale."""
    return [(row.full_label, row.paper[ERRORS[0]], row.ours[ERRORS[0]]) for row in proxy.comparisons if row.trained]


def short_description(proxy: ProxyResults) -> str:
    return proxy.description.split(", trained")[0]


def draw_panel(axis: Axes, panel: Panel, theme: Theme) -> None:
    if panel.relative:
        axis.axvline(0, color=theme.ink, linewidth=0.8, zorder=1)
    draw_marks(axis, panel.lines, theme)
    axis.set_yticks(range(len(panel.lines)), [label for label, _, _ in panel.lines], fontsize=8)
    beside = axis.get_yaxis_transform()
    for height, (_, _, ours) in enumerate(panel.lines):
        if ours is None:
            axis.get_yticklabels()[height].set_color(theme.series[2])
            axis.text(1.01, height, MISSING, transform=beside, va="center", fontsize=8, color=theme.series[2])
    axis.set_title(panel.title, fontsize=9, loc="left")
    axis.set_ylim(len(panel.lines) - 0.4, -0.6)  # not from the marks: a row without any has a label
    axis.grid(axis="x", linewidth=0.5)
    axis.tick_params(axis="x", labelsize=8)


def draw_marks(axis: Axes, lines: Sequence[ChartLine], theme: Theme) -> None:
    measured, printed = theme.series[0], theme.series[1]
    for height, (_, paper, ours) in enumerate(lines):
        axis.plot(paper, height, "D", color=printed, markersize=5, label="the paper" if not height else None)
        if ours:
            low, high = max(0.0, ours.mean - ours.low), max(0.0, ours.high - ours.mean)
            axis.errorbar(ours.mean, height, xerr=[[low], [high]], fmt="o", color=measured, capsize=3, markersize=4)
    if any(ours for _, _, ours in lines):
        axis.plot([], [], "o-", color=measured, label="ours, with 95 % interval")
