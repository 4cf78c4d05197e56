"""Intervals against scipy's own, and formulas written out."""

import math

import numpy as np
import pytest
from scipy import stats

from alexnet_pl.evaluation.intervals import Estimate, Sample, difference_ci, mean_ci, ratio_ci

ERRORS, OTHERS = [38.1, 37.4, 38.9, 37.7], [40.2, 39.1, 41.5]


def test_of_several_runs_it_is_students() -> None:
    found = mean_ci(Sample(ERRORS, 1000))
    wanted = stats.t.interval(0.95, 3, loc=np.mean(ERRORS), scale=stats.sem(ERRORS))
    assert found == pytest.approx((np.mean(ERRORS), *wanted, 4))


def test_of_one_run_it_is_wilsons_over_images() -> None:
    found = mean_ci(Sample([16.2], 1000))
    wanted = stats.binomtest(162, 1000).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((100 * wanted.low, 100 * wanted.high), rel=1e-6)
    assert mean_ci(Sample([90.0]))[:1] == (90.0,)
    assert math.isnan(mean_ci(Sample([90.0])).low)


def test_differences_of_several_runs_are_welchs() -> None:
    found = difference_ci(Sample(OTHERS, 1000), Sample(ERRORS, 1000))
    wanted = stats.ttest_ind(OTHERS, ERRORS, equal_var=False).confidence_interval()
    assert found == pytest.approx((np.mean(OTHERS) - np.mean(ERRORS), wanted.low, wanted.high, 3))
    assert difference_ci(Sample([5.0, 5.0]), Sample([4.0, 4.0])) == Estimate(1.0, 1.0, 1.0, 2)


def test_a_difference_of_single_runs_is_newcombes() -> None:
    """Newcombe 1998, method 10: 56/70 against 48/80 gives 0.2, from 0.0524 to 0.3339."""
    found = difference_ci(Sample([80.0], 70), Sample([60.0], 80))
    by_images = math.hypot(0.8 - 0.6912, 0.7000 - 0.6)  # of the two Wilson intervals' near ends, to four figures
    assert found.mean == pytest.approx(20)
    assert found.runs == 1
    low1, high1 = (100 * x for x in stats.binomtest(56, 70).proportion_ci(method="wilson"))
    low2, high2 = (100 * x for x in stats.binomtest(48, 80).proportion_ci(method="wilson"))
    assert found.low == pytest.approx(20 - math.hypot(80 - low1, high2 - 60), rel=1e-5)
    assert found.high == pytest.approx(20 + math.hypot(high1 - 80, 60 - low2), rel=1e-5)
    assert 0 < by_images < 1


def test_a_ratio_is_of_means_and_its_interval_of_logarithms() -> None:
    found = ratio_ci(Sample([20.0, 22.0, 19.0]), Sample([10.0, 11.0, 10.5]))
    assert found.mean == pytest.approx(61 / 31.5)
    assert found.low < found.mean < found.high
    assert math.isnan(ratio_ci(Sample([20.0]), Sample([10.0])).low)
    assert ratio_ci(Sample([20.0]), Sample([10.0])).mean == 2
