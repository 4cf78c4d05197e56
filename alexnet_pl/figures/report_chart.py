"""report.png: chart of the paper's numbers beside ours (Tables 1 and 2, §4, §5), with intervals."""

from collections.abc import Sequence
from math import isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.figures.style import Theme
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.claims import CIFAR
from alexnet_pl.paper.proxies import ProxyResults
from alexnet_pl.paper.rows import ReportRow

ChartLine = tuple[str, float, Estimate | Difference | None]
"""(label, the paper's value, ours)."""


def draw_comparison_chart(rows: Sequence[ReportRow], proxies: Sequence[ProxyResults], theme: Theme) -> Figure:
    """Draw error rates and differences on the paper's images, and below them a panel for each proxy data set."""
    panels = [
        ("Error rates on ImageNet, top-1, %", chart_lines([row for row in rows if row.claim.group != CIFAR], False)),
        ("Error rates on CIFAR-10, %", chart_lines([row for row in rows if row.claim.group == CIFAR], False)),
        ("Increase of the top-1 error without a part, ImageNet, points", chart_lines(rows, True)),
        *(
            (
                f"{proxy.kind}: increase of the top-1 error, points\n{short_description(proxy)}",
                proxy_lines(proxy),
            )
            for proxy in proxies
        ),
    ]
    shown = [(title, lines) for title, lines in panels if lines]
    heights = [len(lines) + 3 for _, lines in shown]
    figure = Figure(figsize=(8, 0.3 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (title, lines) in zip(axes, shown, strict=True):
        draw_panel(axis, title, lines, theme)
    marks = {label: mark for axis in axes for mark, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks.keys(), loc="outside upper right", ncols=len(marks))
    return figure


def chart_lines(rows: Sequence[ReportRow], relative: bool) -> list[ChartLine]:
    """Lines of the measurable claims with a top-1 error, either error rates or differences (`relative`)."""
    return [
        (label_row(row), row.claim.values[ERRORS[0]], row.measured.get(ERRORS[0]))
        for row in rows
        if ERRORS[0] in row.claim.values and row.claim.relative == relative and row.is_measurable
    ]


def label_row(row: ReportRow) -> str:
    number = "" if isfinite(row.claim.values[ERRORS[0]]) else ", no number in the paper"
    return f"{row.claim.label} ({row.claim.place}{number})"


def proxy_lines(proxy: ProxyResults) -> list[ChartLine]:
    """Comparisons on a proxy data set, without networks that did not train, whose differences would set the scale."""
    return [(row.full_label, row.paper[ERRORS[0]], row.ours[ERRORS[0]]) for row in proxy.comparisons if row.trained]


def short_description(proxy: ProxyResults) -> str:
    return proxy.description.split(", trained")[0]


def draw_panel(axis: Axes, title: str, lines: Sequence[ChartLine], theme: Theme) -> None:
    measured, printed = theme.series[0], theme.series[1]
    for height, (_, paper, ours) in enumerate(lines):
        axis.plot(paper, height, "D", color=printed, markersize=5, label="the paper" if not height else None)
        if ours:
            low, high = max(0.0, ours.mean - ours.low), max(0.0, ours.high - ours.mean)
            axis.errorbar(ours.mean, height, xerr=[[low], [high]], fmt="o", color=measured, capsize=3, markersize=4)
    if any(ours for _, _, ours in lines):
        axis.plot([], [], "o-", color=measured, label="ours, with 95 % interval")
    missing = [height for height, (_, _, ours) in enumerate(lines) if ours is None]
    axis.set_yticks(range(len(lines)), [label for label, _, _ in lines], fontsize=8)
    for height in missing:
        axis.get_yticklabels()[height].set_color(theme.series[2])
    axis.set_title(title + ("\n(gray: not yet measured)" if missing else ""), fontsize=9, loc="left")
    axis.set_ylim(len(lines) - 0.4, -0.6)  # not from the marks: a row without any has a label
    axis.grid(axis="x", linewidth=0.5)
    axis.tick_params(axis="x", labelsize=8)
