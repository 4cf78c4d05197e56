"""95 % confidence intervals of error rates (the paper prints none).

One run: the interval is over images (Wilson's score) and does not include the spread between seeds. Several runs: the
interval is over runs (Student's t on their errors), for the given images. Where many variants have a few runs each,
seed_spread.py takes the spread between runs from all of them.

Differences are paired where possible, which removes the variation that both tests share: by seed over runs, or by image
where one side has a single run (McNemar). `Difference.basis` names the method.
"""

import math
from collections.abc import Sequence
from statistics import fmean, variance
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95


class Estimate(NamedTuple):
    """Mean over `runs` with the ends of its interval, which are nan if none can be computed."""

    mean: float
    low: float
    high: float
    runs: int


class Sample(NamedTuple):
    """Values of one metric in several runs: errors in percent over `images` images each. `images`: 0 for a metric that
    is not an error rate."""

    values: Sequence[float]
    images: int = 0


def mean_ci(sample: Sample) -> Estimate:
    """Mean and interval: Student's t over several runs, Wilson over the images of a single one."""
    mean, count = fmean(sample.values), len(sample.values)
    if count > 1:
        half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * math.sqrt(variance(sample.values) / count)
        low, high = mean - half, mean + half
        if sample.images:
            low, high = max(0.0, low), min(100.0, high)
        return Estimate(mean, low, high, count)
    low, high = wilson_ci(sample)
    return Estimate(mean, low, high, 1)


def wilson_ci(sample: Sample) -> tuple[float, float]:
    """Wilson interval in percent for the mean error of a sample; nan without images."""
    if not sample.images:
        return math.nan, math.nan
    return wilson_interval(count_wrong(sample), sample.images)


def count_wrong(sample: Sample) -> int:
    """Number of images that the mean error of a sample stands for."""
    return round(fmean(sample.values) * sample.images / 100)


class Difference(NamedTuple):
    """Difference of two means with its interval. `runs`: number of runs of the side with fewer; `p`: two-sided p value
    of no difference; `basis`: name of the method."""

    mean: float
    low: float
    high: float
    runs: int
    p: float
    basis: str


PAIRED, WELCH, BY_IMAGE, NEWCOMBE = "runs, paired by seed", "runs", "images, paired", "images"


def is_significant(p: float) -> bool:
    """Whether a p value is below 1 − `LEVEL`; false for nan."""
    return p < 1 - LEVEL


def p_value(test: Any) -> float:
    """Two-sided p value from a scipy test result."""
    return float(test.pvalue)


def paired_difference(differences: Sequence[float]) -> Difference:
    """Paired t test over the differences of two or more pairs of runs."""
    interval = mean_ci(Sample(differences))
    if variance(differences) == 0:
        return Difference(*interval, p=float(interval.mean == 0), basis=PAIRED)
    return Difference(*interval, p=p_value(stats.ttest_1samp(differences, 0)), basis=PAIRED)


def welch_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """`a` − `b` by Welch's t test, two or more runs each."""
    mean, runs = fmean(a) - fmean(b), min(len(a), len(b))
    if variance(a) == variance(b) == 0:
        return Difference(mean, mean, mean, runs, float(mean == 0), WELCH)
    test = stats.ttest_ind(a, b, equal_var=False)
    interval = test.confidence_interval(LEVEL)
    return Difference(mean, float(interval.low), float(interval.high), runs, p_value(test), WELCH)


def image_difference(a: np.ndarray, b: np.ndarray) -> Difference:
    """`a` − `b` in percentage points, paired by image, for a single run on at least one side.

    `a`, `b`: (runs, images) bool, True where a run is wrong; each image counts with its share of wrong runs. For two
    single runs, `p` is from McNemar's exact test.
    """
    shares = a.mean(0) - b.mean(0)
    mean, half = shares.mean(), stats.norm.ppf((1 + LEVEL) / 2) * shares.std(ddof=1) / math.sqrt(len(shares))
    worse, better = int((shares > 0).sum()), int((shares < 0).sum())
    if len(a) == len(b) == 1 and worse + better:
        p = float(stats.binomtest(worse, worse + better).pvalue)
    else:
        p = p_value(stats.ttest_1samp(shares, 0)) if shares.any() else 1.0
    runs = min(len(a), len(b))
    return Difference(100 * mean, 100 * (mean - half), 100 * (mean + half), runs, p, BY_IMAGE)


def newcombe_difference(a: Sample, b: Sample) -> Difference:
    """`a` − `b` of single runs without saved predictions: Newcombe's interval for independent sets of images, and the p
    value of Fisher's exact test, nan without images.

    Wider than necessary if both runs were tested on the same images.
    """
    (low1, high1), (low2, high2) = wilson_ci(a), wilson_ci(b)
    p1, p2 = fmean(a.values), fmean(b.values)
    below, above = math.hypot(p1 - low1, high2 - p2), math.hypot(high1 - p1, p2 - low2)
    runs = min(len(a.values), len(b.values))
    return Difference(p1 - p2, p1 - p2 - below, p1 - p2 + above, runs, fisher_p_value(a, b), NEWCOMBE)


def fisher_p_value(a: Sample, b: Sample) -> float:
    """p value of equal error rates on independent sets of images; nan without images."""
    if not a.images or not b.images:
        return math.nan
    table = [(wrong := count_wrong(sample), sample.images - wrong) for sample in (a, b)]
    return p_value(stats.fisher_exact(table))


def difference_ci(a: Sample, b: Sample) -> Difference:
    """`a` − `b`, not paired: over runs if both sides have several, else over images."""
    if min(len(a.values), len(b.values)) > 1:
        return welch_difference(a.values, b.values)
    return newcombe_difference(a, b)


def ratio_ci(a: Sample, b: Sample) -> Estimate:
    """`a` / `b`, by Welch's interval of the logarithms; nan ends for single runs."""
    logs = [Sample([math.log(value) for value in sample.values]) for sample in (a, b)]
    difference = difference_ci(*logs)
    return Estimate(
        fmean(a.values) / fmean(b.values), math.exp(difference.low), math.exp(difference.high), difference.runs
    )


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for multiple testing (Holm 1979), in the given order; nan stays nan and is not counted."""
    known = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = list(p_values), 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted


def wilson_interval(wrong: int, count: int) -> tuple[float, float]:
    """95 % interval of an error rate in percent by Wilson's score, for `wrong` of `count` images.

    center (p + z²/2n) / (1 + z²/n),  half-width z · √(p(1 − p)/n + z²/4n²) / (1 + z²/n)
    """
    p, z = wrong / count, 1.959964
    shrink = 1 + z**2 / count
    center = (p + z**2 / (2 * count)) / shrink
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2)) / shrink
    return 100 * max(0.0, center - half), 100 * min(1.0, center + half)
