"""95 % confidence intervals of error rates (§7, which the paper prints without intervals).

One run: the interval is over images alone (Wilson's score) and says nothing of how much seeds differ. Several: it is
over runs (Student's t on their errors), all of the same images, which it takes as given.
"""

import math
from collections.abc import Sequence
from statistics import fmean, variance
from typing import NamedTuple

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


def difference_ci(one: Sample, other: Sample) -> Estimate:
    """`one` − `other`: Welch's t over runs where both have several, else Newcombe's interval over images, which takes
    the two sets of images for independent and is therefore wide for the same ones."""
    mean, runs = fmean(one.values) - fmean(other.values), min(len(one.values), len(other.values))
    if runs > 1:
        return Estimate(mean, *welch(one.values, other.values), runs)
    (low1, high1), (low2, high2) = wilson_ci(one), wilson_ci(other)
    p1, p2 = fmean(one.values), fmean(other.values)
    below, above = math.hypot(p1 - low1, high2 - p2), math.hypot(high1 - p1, p2 - low2)
    return Estimate(mean, mean - below, mean + above, runs)


def welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    if variance(one) == variance(other) == 0:
        mean = fmean(one) - fmean(other)
        return mean, mean
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(LEVEL)
    return float(interval.low), float(interval.high)


def ratio_ci(one: Sample, other: Sample) -> Estimate:
    """`one` over `other`, by Welch's interval of the logarithms; none for single runs."""
    logs = [Sample([math.log(value) for value in sample.values]) for sample in (one, other)]
    found = difference_ci(*logs)
    return Estimate(fmean(one.values) / fmean(other.values), math.exp(found.low), math.exp(found.high), found.runs)


def wilson(wrong: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of an error rate in percent, by Wilson's score: `wrong` of `count` images.

    centre (p + z²/2n) / (1 + z²/n),  half-width z · √(p(1 − p)/n + z²/4n²) / (1 + z²/n)
    """
    p, shrink = wrong / count, 1 + z**2 / count
    centre = (p + z**2 / (2 * count)) / shrink
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2)) / shrink
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)
