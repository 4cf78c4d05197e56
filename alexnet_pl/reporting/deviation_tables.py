"""Table of the effect of each difference between the paper's text and the authors' program (docs/deviations.md)."""

from itertools import groupby

from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.deviations import AS_PRINTED, DeviationEffect, Direction, deviations
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
    "deviation clearly differs. The p value then tests whether the change has any effect: a setting with which some "
    "runs fail can be significant although the interval of its mean includes 0.",
    "Intervals are for each line by itself. p is for equal top-1 errors, adjusted for the number of lines (Holm); the "
    "verdict uses p below 0.05.",
)


def deviation_tables(effects: list[DeviationEffect]) -> list[Table]:
    """One table for each proxy dataset; [] without effects."""
    return tables_by_dataset("The paper's text beside the authors' program", HEAD, effects, effect_cells, NOTES)


def summarize_effects(effects: list[DeviationEffect]) -> str:
    """Markdown list for each proxy dataset: all of the text's settings together, then each alone, by effect."""
    by_dataset = groupby(effects, key=lambda effect: effect.dataset)
    return "\n".join(summarize_dataset(dataset, list(group)) for dataset, group in by_dataset) or "Not yet measured.\n"


TITLES = {
    Direction.HIGHER: "Higher error than the program's",
    Direction.LOWER: "Lower error",
    Direction.NONE: "No significant difference",
}


def summarize_dataset(dataset: str, effects: list[DeviationEffect]) -> str:
    alone = [effect for effect in effects if effect.deviation.key != AS_PRINTED]
    groups = {title: [effect for effect in alone if effect.direction == of] for of, title in TITLES.items()}
    untrained = [effect for effect in alone if effect.direction == Direction.UNTRAINED]
    measured = {effect.deviation.key for effect in effects}
    missing = [one.label for one in deviations() if one.key not in measured]
    whole = next((describe_effect(effect) for effect in effects if effect not in alone), "not yet measured")
    lines = [
        f"Top-1 error on {dataset}, in points above our network with the program's settings (95 %):\n",
        f"- The text as a whole: {whole}",
        *(f"- {title}: {'; '.join(map(describe_effect, group)) or 'none'}" for title, group in groups.items()),
        *(
            [f"- Did not train in so short a schedule: {'; '.join(map(describe_effect, untrained))}"]
            if untrained
            else []
        ),
        *([f"- Not yet measured: {', '.join(missing)}"] if missing else []),
    ]
    return "\n".join(lines) + "\n"


def describe_effect(effect: DeviationEffect) -> str:
    return f"{effect.deviation.label} {format_points(effect.ours['top1_error'])}"


def effect_cells(effect: DeviationEffect) -> list[str]:
    points = [format_points(effect.ours.get(metric)) for metric in ERRORS]
    return [effect.deviation.label, effect.deviation.override, *points, *verdict_cells(effect)]
