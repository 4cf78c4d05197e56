"""Chart of the paper's numbers beside the measured ones (Tables 1 and 2, §4, §5), with intervals."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.claims import CIFAR
from alexnet_pl.paper.proxies import ProxyResults
from alexnet_pl.paper.rows import ReportRow

PAPER, OURS = "#c44e52", "#4c72b0"
Line = tuple[str, float, Estimate | Difference | None]
"""A label, the paper's value, ours."""


def draw_comparison_chart(path: Path, rows: Sequence[ReportRow], others: Sequence[ProxyResults]) -> None:
    """Upper: error rates and differences on the paper's own images. Below, a panel for each stand-in's differences."""
    panels = [
        ("Error rates on ImageNet, top-1, %", lines_of([row for row in rows if row.claim.group != CIFAR], False)),
        ("Error rates on CIFAR-10, %", lines_of([row for row in rows if row.claim.group == CIFAR], False)),
        ("Points lost without a part, on ImageNet, top-1", lines_of(rows, True)),
        *((f"Stand-in, points against the full network, top-1\n{short(one)}", compared(one)) for one in others),
    ]
    shown = [(title, lines) for title, lines in panels if lines]
    heights = [len(lines) + 3 for _, lines in shown]
    figure = Figure(figsize=(8, 0.3 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (title, lines) in zip(axes, shown, strict=True):
        panel(axis, title, lines)
    figure.savefig(path, dpi=130)


def lines_of(rows: Sequence[ReportRow], relative: bool) -> list[Line]:
    return [
        (f"{row.claim.label} ({row.claim.section})", row.claim.values[ERRORS[0]], row.measured.get(ERRORS[0]))
        for row in rows
        if ERRORS[0] in row.claim.values and row.claim.relative == relative and row.is_measurable
    ]


def compared(found: ProxyResults) -> list[Line]:
    """Without networks that hardly learned, beside whose differences no other could be seen; the tables have them."""
    return [(one.claim.label, one.paper[ERRORS[0]], one.ours[ERRORS[0]]) for one in found.comparisons if one.trained]


def short(found: ProxyResults) -> str:
    return found.description.split(", trained")[0]


def panel(axis: Axes, title: str, lines: Sequence[Line]) -> None:
    for height, (_, paper, ours) in enumerate(lines):
        axis.plot(paper, height, "D", color=PAPER, markersize=5, label="the paper" if not height else None)
        if ours:
            low, high = max(0.0, ours.mean - ours.low), max(0.0, ours.high - ours.mean)
            axis.errorbar(ours.mean, height, xerr=[[low], [high]], fmt="o", color=OURS, capsize=3, markersize=4)
    axis.plot([], [], "o-", color=OURS, label="ours, with 95 % interval")
    missing = [height for height, (_, _, ours) in enumerate(lines) if ours is None]
    axis.set_yticks(range(len(lines)), [label for label, _, _ in lines], fontsize=8)
    for height in missing:
        axis.get_yticklabels()[height].set_color("grey")
    axis.set_title(title + ("\n(grey: not yet measured)" if missing else ""), fontsize=9, loc="left")
    axis.invert_yaxis()
    axis.margins(y=0.15)
    axis.grid(axis="x", alpha=0.3)
    axis.tick_params(axis="x", labelsize=8)
    axis.legend(fontsize=7, loc="best")
