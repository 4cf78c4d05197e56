"""Differences between two kinds of tests of the same images (Tables 1 and 2, §4, §5), paired wherever they can be."""

from collections.abc import Sequence

import numpy as np

from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Difference, Sample
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.results import TestRun, independent


def sample(tests: Sequence[TestRun], metric: str) -> Sample | None:
    """The metric of each independent test; None where no test has it."""
    counted = independent(tests)
    values = [value for test in counted if (value := test.number(metric)) is not None]
    images = counted[0].result.images if metric in ERRORS and counted else 0
    return Sample(values, images) if values else None


def difference(one: Sequence[TestRun], other: Sequence[TestRun], metric: str) -> Difference | None:
    """How much worse `one` is than `other`, in percentage points of `metric`; None where one of the two is lacking."""
    first, second = sample(one, metric), sample(other, metric)
    if not first or not second:
        return None
    if len(pairs := paired_by_seed(one, other, metric)) > 1:
        return intervals.paired_difference(pairs)
    if min(len(first.values), len(second.values)) > 1:
        return intervals.welch_difference(first.values, second.values)
    answers = [wrong_answers(tests, metric) for tests in (one, other)]
    if all(found is not None for found in answers):
        return intervals.image_difference(*answers)  # type: ignore[arg-type]
    return intervals.newcombe_difference(first, second)


def paired_by_seed(one: Sequence[TestRun], other: Sequence[TestRun], metric: str) -> list[float]:
    """Differences of the tests whose networks had the same seeds, in the order of the seeds."""
    by_seed = [{test.seeds: test.number(metric) for test in reversed(independent(tests))} for tests in (one, other)]
    shared = sorted(seeds for seeds in by_seed[0].keys() & by_seed[1].keys() if seeds)
    both = [(by_seed[0][seeds], by_seed[1][seeds]) for seeds in shared]
    return [a - b for a, b in both if a is not None and b is not None]


def wrong_answers(tests: Sequence[TestRun], metric: str) -> np.ndarray | None:
    """(runs, images) bool: on which images each test was wrong; None where a test did not keep its answers."""
    rows = [test.wrong(metric) for test in independent(tests)] if metric in ERRORS else []
    if not rows or any(row is None for row in rows) or len({len(row) for row in rows if row is not None}) != 1:
        return None
    return np.stack([row for row in rows if row is not None])
