"""Table of what each difference between the paper's text and the authors' program costs (docs/deviations.md)."""

from itertools import groupby

from alexnet_pl.evaluation.intervals import Difference
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.deviations import DeviationEffect
from alexnet_pl.reporting.tables import Table

HEAD = [
    "difference",
    "override",
    "top-1, points (95 %)",
    "top-5, points (95 %)",
    "runs (interval over)",
    "p",
    "verdict",
]
NOTES = (
    "Positive: the error is higher than that of the program. Each line changes one of its settings to "
    "the text's value; all else is equal, seeds included.",
    "Intervals are for each line by itself. p is for equal top-1 errors, adjusted for the number of lines (Holm); the "
    "verdict uses p < 0.05.",
)


def deviation_tables(effects: list[DeviationEffect]) -> list[Table]:
    """One table for each proxy dataset; [] without effects."""
    by_dataset = groupby(effects, key=lambda effect: effect.dataset)
    return [
        Table(
            f"The paper's text beside the authors' program, on {dataset}", HEAD, list(map(effect_cells, group)), NOTES
        )
        for dataset, group in by_dataset
    ]


def effect_cells(effect: DeviationEffect) -> list[str]:
    deviation, top1 = effect.deviation, effect.differences["top1_error"]
    points = [format_points(effect.differences.get(metric)) for metric in ERRORS]
    override = (
        deviation.key if "=" in deviation.key else f"{deviation.key}={format_value(deviation.changes[deviation.key])}"
    )
    p = "" if effect.p != effect.p else f"{effect.p:.2g}"
    return [deviation.label, override, *points, f"{top1.runs} ({top1.basis})", p, effect.verdict]


def format_points(difference: Difference | None) -> str:
    """Mean and interval, with signs; "" without a difference."""
    return f"{difference.mean:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})" if difference else ""


def format_value(value: object) -> str:
    """A value as the command line takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
