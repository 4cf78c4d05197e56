"""Table of the effect of each difference between the paper's text and the authors' program (docs/deviations.md)."""

from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.deviations import DeviationEffect
from alexnet_pl.reporting.proxy_tables import format_points, verdict_cells
from alexnet_pl.reporting.tables import tables_by_dataset
from alexnet_pl.table import Table

HEAD = [
    "difference",
    "override",
    "top-1 points (95 % interval)",
    "top-5 points (95 % interval)",
    "interval over",
    "p value",
    "verdict",
]
NOTES = (
    "Positive: the error is higher than with the program's settings. Each line changes one setting to the text's "
    "value; all else is equal. One crop for 32 images is the program's; ours has one crop for each image.",
    "Pooled spread: the standard deviation between seeds is taken from all lines together, unless a line's own "
    "deviation clearly differs, or its networks did not train.",
    "Intervals are for each line by itself. p is for equal top-1 errors, adjusted for the number of lines (Holm); the "
    "verdict uses p below 0.05.",
)


def deviation_tables(effects: list[DeviationEffect]) -> list[Table]:
    """One table for each proxy data set; [] without effects."""
    return tables_by_dataset("The paper's text beside the authors' program", HEAD, effects, effect_cells, NOTES)


def effect_cells(effect: DeviationEffect) -> list[str]:
    points = [format_points(effect.ours.get(metric)) for metric in ERRORS]
    return [effect.deviation.label, effect.deviation.override, *points, *verdict_cells(effect)]
