"""Table of what each difference between the paper's text and the authors' program costs (docs/deviations.md)."""

from itertools import groupby

from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.deviations import DeviationEffect
from alexnet_pl.reporting.proxy_tables import format_points, verdict_cells
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
    points = [format_points(effect.ours.get(metric)) for metric in ERRORS]
    return [effect.deviation.label, effect.deviation.override, *points, *verdict_cells(effect)]
