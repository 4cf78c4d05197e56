"""Spread of errors between runs that differ in their seeds alone, pooled over variants of a network (§4, §5, Table 2).

A variant with two or three runs says little about this spread by itself: with one degree of freedom, Student's interval
is 12.7 standard errors wide. On the same images and schedule most variants have the same spread, so it is computed from
all of them, as in a one-way analysis of variance.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, variance
from typing import NamedTuple

from scipy import stats

from alexnet_pl.evaluation.intervals import LEVEL, Difference, Estimate

POOLED = "runs, pooled spread"
MIN_DEGREES = 8  # two variants of five runs each
P_UNEQUAL = 0.001  # p value below which a variant keeps its own spread instead of the pooled one


class Spread(NamedTuple):
    """Variance of an error between seeds, in squared percentage points, and its degrees of freedom."""

    variance: float
    degrees: int

    @property
    def deviation(self) -> float:
        return math.sqrt(self.variance)

    def half_width(self, scale: float) -> float:
        """Half of Student's interval of an estimate whose variance is `scale` times this one."""
        return float(stats.t.ppf((1 + LEVEL) / 2, self.degrees)) * math.sqrt(self.variance * scale)


def pool_spreads(variants: Iterable[Sequence[float]]) -> Spread | None:
    """Common spread of variants, each given by the errors of its runs; None if there are too few runs to know it.

    Variants whose spread differs from the rest are left out, the most different first.
    """
    spreads = [own_spread(values) for values in variants if len(values) > 1]
    while len(spreads) > 1:
        p, odd = min((equal_spread_p(one, merge(spreads[:i] + spreads[i + 1 :])), i) for i, one in enumerate(spreads))
        if p >= P_UNEQUAL:
            break
        del spreads[odd]
    pooled = merge(spreads)
    return pooled if pooled.degrees >= MIN_DEGREES and pooled.variance > 0 else None


def own_spread(values: Sequence[float]) -> Spread:
    return Spread(variance(values), len(values) - 1)


def merge(spreads: Sequence[Spread]) -> Spread:
    degrees = sum(one.degrees for one in spreads)
    return Spread(sum(one.variance * one.degrees for one in spreads) / degrees if degrees else 0.0, degrees)


def equal_spread_p(one: Spread, other: Spread) -> float:
    """Two-sided p value of equal variances (F test).

    Two runs that are nearly equal by chance, and errors that are equal because they are multiples of one image, do not
    count as a smaller spread.
    """
    if one.variance < other.variance and (one.degrees == 1 or not one.variance):
        return 1.0
    if not other.variance:
        return float(one.variance == 0)
    below = float(stats.f.cdf(one.variance / other.variance, one.degrees, other.degrees))
    return 2 * min(below, 1 - below)


def spread_of(values: Sequence[float], pooled: Spread) -> Spread:
    """The pooled spread, or a variant's own if that differs."""
    if len(values) > 1 and equal_spread_p(own := own_spread(values), pooled) < P_UNEQUAL:
        return own
    return pooled


def pooled_mean_ci(values: Sequence[float], pooled: Spread) -> Estimate:
    """Mean of one or more runs with Student's interval."""
    mean, half = fmean(values), spread_of(values, pooled).half_width(1 / len(values))
    return Estimate(mean, mean - half, mean + half, len(values))


def pooled_difference(a: Sequence[float], b: Sequence[float], pooled: Spread) -> Difference:
    """`a` − `b` of networks trained independently of each other, one or more runs each.

    Student's t test for equal spreads, Welch's for others.
    """
    mean = fmean(a) - fmean(b)
    error, degrees = standard_error(a, b, pooled)
    half = float(stats.t.ppf((1 + LEVEL) / 2, degrees)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, degrees))
    return Difference(mean, mean - half, mean + half, min(len(a), len(b)), p, POOLED)


def standard_error(a: Sequence[float], b: Sequence[float], pooled: Spread) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch–Satterthwaite if the spreads
    differ)."""
    spreads = [spread_of(values, pooled) for values in (a, b)]
    parts = [spread.variance / len(values) for spread, values in zip(spreads, (a, b), strict=True)]
    if spreads[0] == spreads[1]:
        return math.sqrt(sum(parts)), spreads[0].degrees
    degrees = sum(parts) ** 2 / sum(part**2 / spread.degrees for part, spread in zip(parts, spreads, strict=True))
    return math.sqrt(sum(parts)), degrees
