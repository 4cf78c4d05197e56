"""Differences of error rates between two groups of tests on the same images (Tables 1 and 2, §4, §5).

By the spread between seeds that the networks on these images share, if it is known; else paired by seed or by image.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Difference, Sample
from alexnet_pl.evaluation.result import has_top5, network_key
from alexnet_pl.evaluation.seed_spread import Spread, pool_spreads, pooled_difference
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.results import TestRun, drop_repetitions

Compared = TypeVar("Compared", bound=Any)
"""A dataclass with differences by metric in `ours`, and `p`."""


def adjust_p_values(comparisons: Sequence[Compared]) -> list[Compared]:
    """Set `p`, for equal top-1 errors, of comparisons on the same images, adjusted for their number (Holm)."""
    adjusted = intervals.adjust_holm([comparison.ours["top1_error"].p for comparison in comparisons])
    return [replace(comparison, p=p) for comparison, p in zip(comparisons, adjusted, strict=True)]


def compared_metrics(tests: Sequence[TestRun]) -> tuple[str, ...]:
    """Error rates to compare on the images of the tests: without top-5 if they have five classes or fewer."""
    return ERRORS if has_top5(tests[0].result.dataset.classes) else ERRORS[:1]


def has_trained(tests: Sequence[TestRun]) -> bool:
    """Whether the mean error is below half the chance error: top-1, or top-5 for more than 20 classes."""
    classes = tests[0].result.dataset.classes
    metric, guesses = ("top5_error", 5) if classes > 20 else ("top1_error", 1)
    errors = metric_values(tests, metric)
    return bool(errors) and fmean(errors) < 100 * (1 - guesses / classes) / 2


def collect_sample(tests: Sequence[TestRun], metric: str) -> Sample | None:
    """Values of `metric` in independent tests; None if no test has it, or if a run never came to the error of
    `epochs_to_25`, since a mean over the others would be too low."""
    runs = drop_repetitions(tests)
    values = [value for test in runs if (value := test.metric_value(metric)) is not None]
    if metric == "epochs_to_25" and len(values) < len(runs):
        return None
    images = runs[0].result.images if metric in ERRORS and runs else 0
    return Sample(values, images) if values else None


Spreads = Mapping[tuple[str, str], Spread]
"""(Views, metric) → spread between seeds of the networks that are compared; without those that are not known."""


def measure_spreads(groups: Iterable[Sequence[TestRun]]) -> Spreads:
    """Spread of top-1 and top-5 errors between seeds, pooled over groups of equal tests of single networks.

    Views have spreads of their own, since errors of several views vary less. Networks that did not train are left out:
    errors of guesses do not vary between seeds.
    """
    by_views: dict[str, list[Sequence[TestRun]]] = {}
    for group in groups:
        if group and len(group[0].networks) == 1 and has_trained(group):
            by_views.setdefault(group[0].result.views, []).append(group)
    spreads = {
        (views, metric): pool_spreads(metric_values(tests, metric) for tests in same)
        for views, same in by_views.items()
        for metric in ERRORS
    }
    return {key: spread for key, spread in spreads.items() if spread}


def find_spread(spreads: Spreads, tests: Sequence[TestRun], metric: str) -> Spread | None:
    """Spread that applies to tests of a single network that has trained; None if it is not known."""
    if len(tests[0].networks) > 1 or not has_trained(tests):
        return None
    return spreads.get((tests[0].result.views, metric))


def metric_values(tests: Sequence[TestRun], metric: str) -> Sequence[float]:
    sample = collect_sample(tests, metric)
    return sample.values if sample else []


def tested_networks(tests: Sequence[TestRun]) -> set[str]:
    return {network_key(network) for test in tests for network in test.networks}


def share_no_network(tests_a: Sequence[TestRun], tests_b: Sequence[TestRun]) -> bool:
    """Whether both sides are single networks, and none is in both: other views of a network are not independent."""
    alone = all(len(test.networks) == 1 for test in (*tests_a, *tests_b))
    return alone and not tested_networks(tests_a) & tested_networks(tests_b)


def compare_errors(
    tests_a: Sequence[TestRun], tests_b: Sequence[TestRun], metric: str, spreads: Spreads = MappingProxyType({})
) -> Difference | None:
    """How much worse `tests_a` are than `tests_b`, in percentage points of `metric`; None if either has no value.

    Uses the first interval available: from the pooled spread between seeds, pairs of seeds, several runs each,
    per-image predictions, or the two error rates alone. Networks trained independently of each other are paired by seed
    only if no run is left without a partner.
    """
    sample_a, sample_b = collect_sample(tests_a, metric), collect_sample(tests_b, metric)
    if not sample_a or not sample_b:
        return None
    independent, spread = share_no_network(tests_a, tests_b), find_spread(spreads, tests_a, metric)
    if independent and spread and spread == find_spread(spreads, tests_b, metric):
        return pooled_difference(sample_a.values, sample_b.values, spread)
    pairs, runs = pair_by_seed(tests_a, tests_b, metric), max(len(sample_a.values), len(sample_b.values))
    if len(pairs) == runs > 1 or (len(pairs) > 1 and not independent):
        return intervals.paired_difference(pairs)
    if min(len(sample_a.values), len(sample_b.values)) > 1:
        return intervals.welch_difference(sample_a.values, sample_b.values)
    wrong = [misclassified(tests, metric) for tests in (tests_a, tests_b)]
    if all(matrix is not None for matrix in wrong):
        return intervals.image_difference(*wrong)  # type: ignore[arg-type]
    return intervals.newcombe_difference(sample_a, sample_b)


def pair_by_seed(tests_a: Sequence[TestRun], tests_b: Sequence[TestRun], metric: str) -> list[float]:
    """Differences between tests whose networks had the same seeds, ordered by seed."""
    by_seed = [
        {test.seeds: test.metric_value(metric) for test in reversed(drop_repetitions(tests))}
        for tests in (tests_a, tests_b)
    ]
    shared = sorted(seeds for seeds in by_seed[0].keys() & by_seed[1].keys() if seeds)
    pairs = [(by_seed[0][seeds], by_seed[1][seeds]) for seeds in shared]
    return [a - b for a, b in pairs if a is not None and b is not None]


def misclassified(tests: Sequence[TestRun], metric: str) -> np.ndarray | None:
    """(runs, images) bool: the images that each test misclassified; None unless every test saved its predictions."""
    rows = [test.misclassified(metric) for test in drop_repetitions(tests)] if metric in ERRORS else []
    if not rows or any(row is None for row in rows) or len({len(row) for row in rows if row is not None}) != 1:
        return None
    return np.stack([row for row in rows if row is not None])
