"""Spread between seeds pooled over variants: against scipy's tests, least squares, and simulated runs."""

import math

import numpy as np
import pytest
from scipy import stats

from alexnet_pl.evaluation.seed_spread import Spread, equal_spread_p, pool_spreads, pooled_difference, pooled_mean_ci

A, B = [71.2, 71.9, 70.8, 71.5, 72.0], [73.0, 73.9, 72.6, 73.3, 73.1]
FAILING = [72.5, 94.7, 83.1]


def test_two_variants_are_compared_by_students_t() -> None:
    pooled = pool_spreads([A, B])
    assert pooled
    found = pooled_difference(A, B, pooled)
    wanted = stats.ttest_ind(A, B)
    interval = wanted.confidence_interval(0.95)
    assert found[:5] == pytest.approx((np.mean(A) - np.mean(B), *interval, 5, wanted.pvalue))
    assert found.basis == "runs, pooled spread"


def test_several_variants_are_compared_as_by_dunnett() -> None:
    """Dunnett's statistic is the same; its p value is adjusted for the number of variants."""
    variants = [[74.0, 74.1, 73.6], [71.4], [72.5, 71.9, 72.9]]
    pooled = pool_spreads([A, *variants])
    assert pooled
    assert pooled.degrees == 4 + 2 + 0 + 2
    statistics = stats.dunnett(*variants, control=A).statistic
    for values, statistic in zip(variants, statistics, strict=True):
        assert pooled_difference(values, A, pooled).p == pytest.approx(2 * stats.t.sf(abs(statistic), 8))


def test_pooled_spread_is_that_of_a_least_squares_fit() -> None:
    variants = [A, B, [70.0], [74.0, 74.5]]
    design = np.repeat(np.eye(4), [5, 5, 1, 2], axis=0)
    residual = np.linalg.lstsq(design, np.concatenate(variants), rcond=None)[1][0]
    assert pool_spreads(variants) == pytest.approx((residual / (13 - 4), 13 - 4))


def test_too_few_runs_have_no_pooled_spread() -> None:
    assert pool_spreads([]) is None
    assert pool_spreads([A, [70.0], [71.0]]) is None, "4 degrees of freedom"
    assert pool_spreads([A, B[:4]]) is None, "7 degrees of freedom, where two variants of five runs have 8"
    assert pool_spreads([[70.0] * 5, [71.0] * 5]) is None, "runs without any spread are repetitions"


def test_variant_with_another_spread_keeps_its_own() -> None:
    """Its interval and p value are Welch's: one failing run says little about the mean."""
    pooled = pool_spreads([A, FAILING, B])
    assert pooled == pytest.approx(pool_spreads([A, B]))
    assert pooled
    assert pooled_mean_ci(FAILING, pooled)[1:3] == pytest.approx(
        stats.t.interval(0.95, 2, np.mean(FAILING), stats.sem(FAILING))
    )
    own = Spread(float(np.var(A, ddof=1)), 4)
    found = pooled_difference(FAILING, A, own)
    wanted = stats.ttest_ind(FAILING, A, equal_var=False)
    interval = wanted.confidence_interval(0.95)
    assert found[1:3] == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(wanted.pvalue)


@pytest.mark.parametrize(("one", "other"), [(Spread(9.0, 3), Spread(1.5, 12)), (Spread(0.2, 5), Spread(1.5, 12))])
def test_spreads_are_compared_by_a_two_sided_f_test(one: Spread, other: Spread) -> None:
    """At the limits of scipy's interval of the ratio that has this p value as its error."""
    p = equal_spread_p(one, other)
    limits = stats.f.ppf([p / 2, 1 - p / 2], one.degrees, other.degrees)
    assert one.variance / other.variance == pytest.approx(limits[int(one.variance > other.variance)])


def test_runs_that_are_equal_by_chance_have_the_common_spread() -> None:
    """With 5,000 images errors are multiples of 0.02 points, so that about one pair of runs in ninety is equal."""
    pair, three = [72.0, 72.0], [71.6, 71.6, 71.6]
    pooled = pool_spreads([A, B, pair])
    assert pooled
    assert pooled.degrees == 4 + 4 + 1
    assert pooled_mean_ci(pair, pooled).low == pytest.approx(72.0 - pooled.half_width(1 / 2))
    for reference in (pair, three):
        assert pooled_difference(A, reference, pooled).low < np.mean(A) - reference[0]


def test_single_run_has_an_interval() -> None:
    found = pooled_mean_ci([70.0], Spread(0.25, 20))
    half = stats.t.ppf(0.975, 20) * 0.5
    assert found == pytest.approx((70.0, 70.0 - half, 70.0 + half, 1))


def test_intervals_of_simulated_runs_contain_the_true_difference() -> None:
    """95 % of the intervals, within four standard errors, where Student's t on two pairs of runs is useless."""
    generator, contained, widths = np.random.default_rng(0), 0, []
    counts, means = [5, 5, 2, 5, 1], [70.0, 72.0, 71.0, 70.0, 75.0]
    for _ in range(2000):
        variants = [generator.normal(mean, 0.6, count) for mean, count in zip(means, counts, strict=True)]
        pooled = pool_spreads(variants)
        assert pooled
        found = pooled_difference(variants[2], variants[0], pooled)
        contained += found.low <= 1.0 <= found.high
        widths.append(found.high - found.low)
    assert contained / 2000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 2000))
    assert np.median(widths) < 3, "12.7 standard errors on either side would be 13 points"
