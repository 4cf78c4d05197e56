"""Comparisons of runs: the interval depends on the seeds and predictions that they have; against scipy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import proxy_test, write_test
from scipy import stats

from alexnet_pl.config.identity import training_signature
from alexnet_pl.config.recipes import compose
from alexnet_pl.evaluation.seed_spread import Spread
from alexnet_pl.paper import results
from alexnet_pl.paper.comparing import compare_errors, has_trained, measure_spreads
from alexnet_pl.paper.variants import comparable_settings, variant_key

ONE, OTHER = [60.0, 61.5, 60.4], [63.0, 64.0, 63.5]
COUNT = 200


def made_tests(root: Path, names: list[str], errors: list[float], claim: str = "table2.cnn") -> list[results.TestRun]:
    """Tests of a claim's network whose seeds are the numbers at the end of their names."""
    for name, error in zip(names, errors, strict=True):
        write_test(root, name, proxy_test(claim, images=COUNT), error)
    return results.collect_tests([root])


def test_runs_of_other_seeds_are_compared_by_welch(tmp_path: Path) -> None:
    a = made_tests(tmp_path / "a", ["run1", "run2", "run3"], OTHER)
    b = made_tests(tmp_path / "b", ["run4", "run5", "run6"], ONE)
    found = compare_errors(a, b, "top1_error")
    assert found
    wanted = stats.ttest_ind(OTHER, ONE, equal_var=False)
    interval = wanted.confidence_interval(0.95)
    assert found[:4] == pytest.approx((np.mean(OTHER) - np.mean(ONE), interval.low, interval.high, 3))
    assert (found.p, found.basis) == (pytest.approx(wanted.pvalue), "runs")


def test_runs_without_a_partner_are_not_dropped(tmp_path: Path) -> None:
    """Two of three seeds are shared, so that pairs would leave out a run on each side."""
    a = made_tests(tmp_path / "a", ["run1", "run2", "run3"], OTHER, "norm")
    b = made_tests(tmp_path / "b", ["run2", "run3", "run4"], ONE)
    found = compare_errors(a, b, "top1_error")
    assert found
    assert found[3:] == (3, pytest.approx(stats.ttest_ind(OTHER, ONE, equal_var=False).pvalue), "runs")


def test_one_shared_seed_is_no_pair(tmp_path: Path) -> None:
    a = made_tests(tmp_path / "a", ["run1", "run2"], OTHER[:2])
    b = made_tests(tmp_path / "b", ["run2", "run3"], ONE[:2])
    found = compare_errors(a, b, "top1_error")
    assert found
    assert found.basis == "runs"


def save_predictions(tests: list[results.TestRun], right: np.ndarray) -> list[results.TestRun]:
    """Save predictions in which the images `right` are classified correctly; the tests, opened again."""
    for test in tests:
        label = np.arange(COUNT) % 10
        best = [[int(x) if ok else int(x + 1) % 10, *[11] * 4] for x, ok in zip(label, right, strict=True)]
        table = pa.table({"image": [str(i) for i in range(COUNT)], "label": label, "best": best})
        footer = {"alexnet_pl": test.path.read_bytes()}
        pq.write_table(table.replace_schema_metadata(footer), test.path.with_name("probabilities.parquet"))
    return [replace(test) for test in tests]


def test_single_runs_with_predictions_are_compared_by_image(tmp_path: Path) -> None:
    a, b = made_tests(tmp_path / "a", ["run1"], [40.0]), made_tests(tmp_path / "b", ["run2"], [30.0])
    numbers = np.arange(COUNT)
    a, b = save_predictions(a, numbers >= 80), save_predictions(b, numbers < 140)
    found = compare_errors(a, b, "top1_error")
    assert found
    assert (found.mean, found.runs, found.basis) == (pytest.approx(10.0), 1, "images, paired")
    assert found.p == pytest.approx(stats.binomtest(80, 140).pvalue)


def test_tests_without_a_value_are_not_compared(tmp_path: Path) -> None:
    tests = made_tests(tmp_path, ["run1"], [40.0])
    assert compare_errors(tests, [], "top1_error") is None
    assert compare_errors([], tests, "top1_error") is None


def test_pairs_need_a_value_on_both_sides(tmp_path: Path) -> None:
    """One of the runs did not record its days of training."""
    for side, days in (("a", [3.0, 4.0, None]), ("b", [1.0, 2.5, 1.0])):
        for seed, value in enumerate(days):
            about = proxy_test("table2.cnn", images=COUNT)
            about["trained"]["seconds"] = (value or 0) * 86400
            write_test(tmp_path / side, f"run{seed}", about, 40.0)
    found = compare_errors(*(results.collect_tests([tmp_path / side]) for side in "ab"), "days")
    assert found
    assert (found.mean, found.runs, found.basis) == (pytest.approx(1.75), 2, "runs, paired by seed")


def test_spread_is_that_of_single_networks_that_trained(tmp_path: Path) -> None:
    """Of each kind of views by itself, if it has enough runs; not of ensembles, nor of guesses."""
    values = [40.0, 41.0, 39.5, 40.5, 42.0]
    groups = [made_tests(tmp_path / str(k), [f"run{k + i}" for i in range(5)], values) for k in (0, 5)]
    for number, error in enumerate([41.0, 43.0, 42.5]):
        write_test(tmp_path / "views", f"run{number}", proxy_test("footnote_e.center", images=COUNT), error)
        write_test(tmp_path / "ensembles", f"five{number}", proxy_test("table2.5cnns", images=COUNT), error)
        write_test(tmp_path / "guesses", f"run{number}", proxy_test("norm", images=COUNT), 89.5 + number / 100)
    others = [results.collect_tests([tmp_path / name]) for name in ("views", "ensembles", "guesses")]
    spreads = measure_spreads([*groups, *others])
    assert spreads == {("ten", "top1_error"): pytest.approx((np.var(values, ddof=1), 8))}, "top-5 is equal in all runs"


def test_pooled_spread_does_not_compare_views_of_one_network(tmp_path: Path) -> None:
    spreads = {(views, "top1_error"): Spread(4.0, 20) for views in ("ten", "center")}
    ten = made_tests(tmp_path / "ten", ["run1", "run2"], [40.0, 48.0])
    other = made_tests(tmp_path / "other", ["run3", "run4"], [40.0, 48.0])
    for number, error in ((1, 41.5), (2, 51.6)):
        write_test(tmp_path / "one", f"run{number}", proxy_test("footnote_e.center", images=COUNT), error)
    center = results.collect_tests([tmp_path / "one"])
    for sides, basis in (
        ((center, ten), "runs, paired by seed"),
        ((center, other), "runs"),  # the spread of ten views is not that of the center
        ((ten, other), "runs, pooled spread"),
    ):
        found = compare_errors(*sides, "top1_error", spreads)
        assert found
        assert found.basis == basis


@pytest.mark.parametrize(
    ("classes", "top1", "top5", "trained"),
    [
        (10, 44.9, 0.0, True),  # guesses are wrong for 90 % of the images
        (10, 45.0, 0.0, False),
        (20, 47.4, 99.0, True),
        (20, 47.6, 0.0, False),
        (21, 99.0, 38.0, True),  # five guesses are wrong for 16 of 21 images
        (21, 0.0, 38.2, False),
        (1000, 99.0, 49.7, True),
        (1000, 0.0, 49.8, False),
    ],
)
def test_network_has_trained_below_half_the_chance_error(
    tmp_path: Path, classes: int, top1: float, top5: float, trained: bool
) -> None:
    """In top-1 error, or in top-5 error for more than 20 classes; of several runs, their mean."""
    for seed, off in enumerate((-0.05, 0.05)):
        about = proxy_test("table2.cnn", images=COUNT, classes=classes)
        write_test(tmp_path, f"run{seed}", about, max(0.0, top1 + off), max(0.0, top5 + off))
    assert has_trained(results.collect_tests([tmp_path])) is trained


def test_networks_of_section_4_3_are_compared() -> None:
    """Their files also differ in the decay of the last layer, which belongs to the network."""
    normalized, plain = (training_signature(compose(f"cifar10_{name}")) for name in ("11pct", "13pct"))
    assert normalized["optim"] != plain["optim"]
    assert comparable_settings(normalized) == comparable_settings(plain)
    assert variant_key(normalized, False) != variant_key(plain, False)
