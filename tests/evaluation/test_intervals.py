"""Confidence intervals against scipy and explicit formulas."""

import math

import numpy as np
import pytest
from scipy import stats

from alexnet_pl.evaluation.intervals import (
    Difference,
    Sample,
    adjust_holm,
    count_wrong,
    difference_ci,
    image_difference,
    mean_ci,
    paired_difference,
    ratio_ci,
    welch_difference,
    wilson_interval,
)

ERRORS, OTHERS = [38.1, 37.4, 38.9, 37.7], [40.2, 39.1, 41.5]


@pytest.mark.parametrize("runs", [2, 3, 4])
def test_interval_over_runs_is_students_t(runs: int) -> None:
    errors = ERRORS[:runs]
    wanted = stats.t.interval(0.95, runs - 1, loc=np.mean(errors), scale=stats.sem(errors))
    assert mean_ci(Sample(errors, 1000)) == pytest.approx((np.mean(errors), *wanted, runs))


def test_interval_of_errors_is_between_0_and_100_percent() -> None:
    """A metric that is not an error rate, such as days, has no such limits."""
    assert mean_ci(Sample([0.0, 2.0], 50)) == pytest.approx((1.0, 0.0, 1 + stats.t.ppf(0.975, 1), 2))
    assert mean_ci(Sample([98.0, 100.0], 50)) == pytest.approx((99.0, 99 - stats.t.ppf(0.975, 1), 100.0, 2))
    assert mean_ci(Sample([98.0, 100.0])).high == pytest.approx(99 + stats.t.ppf(0.975, 1))


def test_wrong_images_are_counted_from_the_rounded_percentage() -> None:
    """29 of 100 are 29.0 %, and 0.29 · 100 is 28.999…; a file has 16.67 % for 1 of 6."""
    assert [count_wrong(Sample([100 * (k / 100)], 100)) for k in range(101)] == list(range(101))
    assert count_wrong(Sample([16.67], 6)) == count_wrong(Sample([16.66], 6)) == 1


def test_interval_over_images_is_wilsons() -> None:
    found = mean_ci(Sample([16.2], 1000))
    wanted = stats.binomtest(162, 1000).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((100 * wanted.low, 100 * wanted.high), rel=1e-6)
    assert found.runs == 1
    assert mean_ci(Sample([90.0]))[:1] == (90.0,)
    assert math.isnan(mean_ci(Sample([90.0])).low)


def test_difference_of_several_runs_is_welchs() -> None:
    found = difference_ci(Sample(OTHERS, 1000), Sample(ERRORS, 1000))
    wanted = stats.ttest_ind(OTHERS, ERRORS, equal_var=False).confidence_interval()
    assert found[:4] == pytest.approx((np.mean(OTHERS) - np.mean(ERRORS), wanted.low, wanted.high, 3))
    assert found.p == pytest.approx(stats.ttest_ind(OTHERS, ERRORS, equal_var=False).pvalue)
    assert difference_ci(Sample([5.0, 5.0]), Sample([4.0, 4.0])) == Difference(1.0, 1.0, 1.0, 2, 0.0, "runs")


def test_difference_of_the_same_seeds_is_paired() -> None:
    """Two variants that differ by about 1 in every seed, though seeds differ by 10."""
    one, other = [31.1, 21.0, 11.2, 40.9], [30.0, 20.0, 10.0, 40.0]
    found = paired_difference([a - b for a, b in zip(one, other, strict=True)])
    wanted = stats.ttest_rel(one, other)
    interval = wanted.confidence_interval()
    assert found[:5] == pytest.approx((1.05, interval.low, interval.high, 4, wanted.pvalue))
    assert welch_difference(one, other).low < 0 < found.low
    assert paired_difference([1.0, 1.0]) == Difference(1.0, 1.0, 1.0, 2, 0.0, "runs, paired by seed")
    assert paired_difference([0.0, 0.0]).p == 1.0


def test_single_runs_are_compared_by_image() -> None:
    """Against McNemar's exact test (binomtest), and the variance of a difference of paired proportions by hand."""
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 1, 500)) < [[[0.3]], [[0.25]]]
    found = image_difference(one, other)
    b, c = int((one & ~other).sum()), int((~one & other).sum())
    assert found.p == pytest.approx(stats.binomtest(min(b, c), b + c).pvalue)
    assert found.mean == pytest.approx(100 * (b - c) / 500)
    spread = math.sqrt((b + c - (b - c) ** 2 / 500) / (500 * 499))
    assert found.high - found.mean == pytest.approx(100 * 1.959964 * spread)
    assert found.mean - found.low == pytest.approx(100 * 1.959964 * spread)
    assert (found.runs, found.basis) == (1, "images, paired")


def test_ensemble_is_compared_with_its_members_by_image() -> None:
    ensemble, members = (
        np.array([[True, False, False, False]]),
        np.array([[True, True, False, False]] * 3 + [[True] * 4]),
    )
    found = image_difference(ensemble, members)
    shares = np.array([0, -1, -0.25, -0.25])
    assert (found.mean, found.runs) == (pytest.approx(-37.5), 1)
    assert found.p == pytest.approx(stats.ttest_1samp(shares, 0).pvalue)
    assert image_difference(ensemble, ensemble)[:5] == (0, 0, 0, 1, 1)


def test_p_values_are_corrected_by_holm() -> None:
    """Holm's procedure by hand: 0.01 · 4, 0.02 · 3, then never below the previous value; nan is left out."""
    assert adjust_holm([0.02, 0.01, math.nan, 0.03, 0.9])[:2] == pytest.approx([0.06, 0.04])
    assert adjust_holm([0.02, 0.01, math.nan, 0.03, 0.9])[3:] == pytest.approx([0.06, 0.9])
    assert math.isnan(adjust_holm([math.nan, 0.5])[0])
    assert adjust_holm([0.6, 0.7]) == [1.0, 1.0]


def test_difference_of_single_runs_is_newcombes() -> None:
    """Newcombe 1998, method 10: 56/70 against 48/80 gives 0.2, from 0.0524 to 0.3339."""
    found = difference_ci(Sample([80.0], 70), Sample([60.0], 80))
    assert found.mean == pytest.approx(20)
    assert (found.low, found.high) == (pytest.approx(5.24, abs=0.005), pytest.approx(33.39, abs=0.005))
    assert found.runs == 1
    low1, high1 = (100 * x for x in stats.binomtest(56, 70).proportion_ci(method="wilson"))
    low2, high2 = (100 * x for x in stats.binomtest(48, 80).proportion_ci(method="wilson"))
    assert found.low == pytest.approx(20 - math.hypot(80 - low1, high2 - 60), rel=1e-5)
    assert found.high == pytest.approx(20 + math.hypot(high1 - 80, 60 - low2), rel=1e-5)
    assert found.p == pytest.approx(fisher_by_hand(56, 70, 48, 80))


def fisher_by_hand(wrong: int, count: int, other_wrong: int, other_count: int) -> float:
    """Sum of the hypergeometric probabilities of all tables with these margins that are no more likely than this."""
    total = wrong + other_wrong
    chance = [
        math.comb(count, k) * math.comb(other_count, total - k) if total - k <= other_count else 0
        for k in range(min(total, count) + 1)
    ]
    return sum(each for each in chance if each <= chance[wrong]) / sum(chance)


def test_ratio_is_of_means_with_a_log_interval() -> None:
    found = ratio_ci(Sample([20.0, 22.0, 19.0]), Sample([10.0, 11.0, 10.5]))
    assert found.mean == pytest.approx(61 / 31.5)
    wanted = stats.ttest_ind(np.log([20, 22, 19]), np.log([10, 11, 10.5]), equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high, found.runs) == pytest.approx((math.exp(wanted.low), math.exp(wanted.high), 3))
    assert math.isnan(ratio_ci(Sample([20.0]), Sample([10.0])).low)
    assert ratio_ci(Sample([20.0]), Sample([10.0])).mean == 2


def test_wilsons_interval_stays_between_0_and_100() -> None:
    """At either end, the other bound is n / (n + z²)."""
    assert wilson_interval(20, 20) == (pytest.approx(100 * 20 / (20 + 1.959964**2)), 100)
    assert wilson_interval(0, 20) == (0, pytest.approx(100 * 1.959964**2 / (20 + 1.959964**2)))
