"""List in docs/deviations.md of the effects of the text's settings, by their verdict."""

from itertools import groupby

from alexnet_pl.paper.deviations import AS_PRINTED, DeviationEffect, Direction, deviations
from alexnet_pl.reporting.proxy_tables import format_points

TITLES = {
    Direction.HIGHER: "Higher error than the program's",
    Direction.LOWER: "Lower error",
    Direction.NONE: "No significant difference",
}


def summarize_effects(effects: list[DeviationEffect]) -> str:
    """Markdown list for each proxy data set: all of the text's settings together, then each alone, by effect."""
    by_dataset = groupby(effects, key=lambda effect: effect.dataset)
    return "\n".join(summarize_dataset(dataset, list(group)) for dataset, group in by_dataset) or "Not yet measured.\n"


def summarize_dataset(dataset: str, effects: list[DeviationEffect]) -> str:
    alone = [effect for effect in effects if effect.deviation.key != AS_PRINTED]
    groups = {title: [effect for effect in alone if effect.direction == of] for of, title in TITLES.items()}
    untrained = [effect for effect in alone if effect.direction == Direction.UNTRAINED]
    measured = {effect.deviation.key for effect in effects}
    missing = [one.label for one in deviations(effects[0].schedule) if one.key not in measured]
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
