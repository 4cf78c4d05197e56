"""95 % confidence intervals of error rates (§7, which the paper prints without intervals).

One run: the interval is over images alone (Wilson's score) and says nothing of how much seeds differ. Several: it is
over runs (Student's t on their errors), all of the same images, which it takes as given.

Differences are paired wherever they can be, since what two tests share, a seed or the images, is no part of their
difference: over runs by seed, else, where one side has a single run, by image (McNemar). `basis` says which.
"""

import math
from collections.abc import Sequence
from statistics import fmean, variance
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean over `runs`, and its interval; nan where there is none to give."""

    mean: float
    low: float
    high: float
    runs: int


class Sample(NamedTuple):
    """One quantity of several runs: errors in percent of `images` images each, or with `images` 0 anything else."""

    values: Sequence[float]
    images: int = 0


def mean_ci(sample: Sample) -> Estimate:
    mean, count = fmean(sample.values), len(sample.values)
    if count > 1:
        half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * math.sqrt(variance(sample.values) / count)
        return Estimate(mean, mean - half, mean + half, count)
    low, high = wilson_ci(sample)
    return Estimate(mean, low, high, 1)


def wilson_ci(sample: Sample) -> tuple[float, float]:
    if not sample.images:
        return math.nan, math.nan
    return wilson(round(fmean(sample.values) * sample.images / 100), sample.images)


class Difference(NamedTuple):
    """A difference of two means and its interval; `runs` of the side with fewer, `p` of no difference, two-sided."""

    mean: float
    low: float
    high: float
    runs: int
    p: float
    basis: str


PAIRED, WELCH, BY_IMAGE, NEWCOMBE = "runs, paired by seed", "runs", "images, paired", "images"


def p_of(test: Any) -> float:
    """The two-sided p value of one of scipy's tests."""
    return float(test.pvalue)


def paired_difference(differences: Sequence[float]) -> Difference:
    """Paired t: the mean of `differences`, of two or more pairs of runs."""
    found = mean_ci(Sample(differences))
    if variance(differences) == 0:
        return Difference(*found, p=float(found.mean == 0), basis=PAIRED)
    return Difference(*found, p=p_of(stats.ttest_1samp(differences, 0)), basis=PAIRED)


def welch_difference(one: Sequence[float], other: Sequence[float]) -> Difference:
    """`one` − `other`: Welch's t, over two or more runs of each."""
    mean, runs = fmean(one) - fmean(other), min(len(one), len(other))
    if variance(one) == variance(other) == 0:
        return Difference(mean, mean, mean, runs, float(mean == 0), WELCH)
    found = stats.ttest_ind(one, other, equal_var=False)
    interval = found.confidence_interval(LEVEL)
    return Difference(mean, float(interval.low), float(interval.high), runs, p_of(found), WELCH)


def image_difference(one: np.ndarray, other: np.ndarray) -> Difference:
    """`one` − `other` in percentage points, paired by image, for a single run on at least one side.

    `one`, `other`: (runs, images) bool, True where a run is wrong. Each image counts with the share of the runs that
    are wrong on it. Of two single runs, `p` is McNemar's exact one.
    """
    shares = one.mean(0) - other.mean(0)
    mean, half = shares.mean(), stats.norm.ppf((1 + LEVEL) / 2) * shares.std(ddof=1) / math.sqrt(len(shares))
    only_one, only_other = int((shares > 0).sum()), int((shares < 0).sum())
    if len(one) == len(other) == 1 and only_one + only_other:
        p = float(stats.binomtest(only_one, only_one + only_other).pvalue)
    else:
        p = p_of(stats.ttest_1samp(shares, 0)) if shares.any() else 1.0
    runs = min(len(one), len(other))
    return Difference(100 * mean, 100 * (mean - half), 100 * (mean + half), runs, p, BY_IMAGE)


def newcombe_difference(one: Sample, other: Sample) -> Difference:
    """`one` − `other` of single runs without answers by image: Newcombe's interval takes the two sets of images for
    independent and is therefore wide for the same ones."""
    (low1, high1), (low2, high2) = wilson_ci(one), wilson_ci(other)
    p1, p2 = fmean(one.values), fmean(other.values)
    below, above = math.hypot(p1 - low1, high2 - p2), math.hypot(high1 - p1, p2 - low2)
    runs = min(len(one.values), len(other.values))
    return Difference(p1 - p2, p1 - p2 - below, p1 - p2 + above, runs, math.nan, NEWCOMBE)


def difference_ci(one: Sample, other: Sample) -> Difference:
    """`one` − `other`, not paired: over runs where both have several, else over images."""
    if min(len(one.values), len(other.values)) > 1:
        return welch_difference(one.values, other.values)
    return newcombe_difference(one, other)


def ratio_ci(one: Sample, other: Sample) -> Estimate:
    """`one` over `other`, by Welch's interval of the logarithms; none for single runs."""
    logs = [Sample([math.log(value) for value in sample.values]) for sample in (one, other)]
    found = difference_ci(*logs)
    return Estimate(fmean(one.values) / fmean(other.values), math.exp(found.low), math.exp(found.high), found.runs)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm 1979), in the order given; nan stays nan and is not counted."""
    known = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = list(p_values), 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted


def wilson(wrong: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of an error rate in percent, by Wilson's score: `wrong` of `count` images.

    centre (p + z²/2n) / (1 + z²/n),  half-width z · √(p(1 − p)/n + z²/4n²) / (1 + z²/n)
    """
    p, shrink = wrong / count, 1 + z**2 / count
    centre = (p + z**2 / (2 * count)) / shrink
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2)) / shrink
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)
