"""OverFeat §4 and §5: differences between ways to train and test boxes on a proxy data set, paired by seed."""

from collections.abc import Mapping, Sequence

from alexnet_pl.evaluation.box_result import BoxResult, LocalisationResult
from alexnet_pl.evaluation.intervals import Difference, adjust_holm, paired_difference
from alexnet_pl.paper.box_results import BoxTestRun
from alexnet_pl.reporting.proxy_tables import format_p_value, format_points
from alexnet_pl.table import Table

METRICS = {  # by task: key in boxes.json → column
    "localise": {"loc_error": "localisation error", "given_class_error": "box error, class given"},
    "detect": {"map": "mAP"},
}
NOTE = (
    "Paired by seed. Intervals are for each difference by itself. p is for an equal {first}, adjusted for the "
    "number of rows (Holm). A positive difference of an error is worse, of mAP better."
)


def difference_table(groups: Mapping[str, Sequence[BoxTestRun]]) -> list[Table]:
    """Differences to the way of the paper, for the groups that share at least two seeds with it; [] if there are none.

    `groups`: label → tests of one way on the same images and network, one per seed.
    """
    reference = next((label for label, tests in groups.items() if follows_paper(tests[0].result)), None)
    if reference is None:
        return []
    metrics = METRICS[groups[reference][0].result.task]
    found = {
        label: differences
        for label, tests in groups.items()
        if label != reference and (differences := paired_differences(tests, groups[reference], list(metrics)))
    }
    if not found:
        return []
    first = next(iter(metrics.values()))
    adjusted = adjust_holm([differences[0].p for differences in found.values()])
    rows = [
        [label, *map(format_points, differences), format_p_value(p), str(differences[0].runs)]
        for (label, differences), p in zip(found.items(), adjusted, strict=True)
    ]
    header = ["compared", *(f"{name}, points (95 % interval)" for name in metrics.values()), "p value", "seeds"]
    return [Table(f"Differences to: {reference}", header, rows, (NOTE.format(first=first),))]


def follows_paper(test: BoxResult) -> bool:
    """Whether boxes were trained and tested as the paper does: merged over all windows; a shared regressor and four
    scales (§4), or hard negatives (§5)."""
    detect, boxes = test.detect, test.boxes
    merged = (detect.positions, detect.combine, detect.score) == ("all", "merge", "normalized")
    if isinstance(test, LocalisationResult):
        return merged and not boxes.per_class and len(detect.scales or []) == 4
    return merged and boxes.hard_negatives > 0


def paired_differences(
    tests: Sequence[BoxTestRun], reference: Sequence[BoxTestRun], metrics: Sequence[str]
) -> list[Difference]:
    """Differences of each metric over the shared seeds; [] for fewer than two. Two seeds that are not known are not
    shared."""
    of_seed = {test.result.seed: test.result for test in reference if test.result.seed is not None}
    pairs = [(test.result, of_seed[test.result.seed]) for test in tests if test.result.seed in of_seed]
    if len(pairs) < 2:
        return []
    return [
        paired_difference([getattr(one, metric) - getattr(other, metric) for one, other in pairs]) for metric in metrics
    ]
