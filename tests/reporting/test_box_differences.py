"""Differences between ways to find boxes, against scipy's paired t test."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.evaluation.box_result import OUTCOMES, DetectionResult, LocalisationResult
from alexnet_pl.paper.box_results import BoxTestRun
from alexnet_pl.reporting.box_differences import difference_table
from alexnet_pl.runs.records import DatasetInfo

PAPER, OTHER, CENTER = [49.0, 44.2, 46.9], [59.5, 53.1, 58.8], [60.0, 66.0, 61.0]


COMMON: dict[str, Any] = {"dataset": DatasetInfo(), "images": 1, "model": {}, "window": 77, "finished": True}
OTHERS = dict.fromkeys(("top5_error", "constant_box_error", "constant_box_loc_error"), 0.0)


def make_tests(errors: list[float], **changed: Any) -> list[BoxTestRun]:
    """One test per seed; `changed`: its settings of the section `detect`, or `per_class`."""
    boxes = BoxOptions("localise", per_class=changed.pop("per_class", False))
    about = {**COMMON, **OTHERS, "boxes": boxes, "detect": DetectOptions(**{"scales": [1, 2, 4, 6], **changed})}
    results = [
        LocalisationResult(task="localise", seed=i, loc_error=e, given_class_error=e - 1, **about)
        for i, e in enumerate(errors)
    ]
    return [BoxTestRun(Path("run"), result) for result in results]


def groups() -> dict[str, list[BoxTestRun]]:
    return {
        "per class": make_tests(PAPER, per_class=True),
        "paper": make_tests(PAPER),
        "nms": make_tests(OTHER, combine="nms"),
        "center": make_tests(CENTER, positions="center", scales=[1]),
    }


def test_differences_are_paired_by_seed_and_adjusted_for_their_number() -> None:
    (table,) = difference_table(groups())
    assert table.title == "Differences to: paper"
    rows = {row[0]: row[1:] for row in table.rows}
    assert list(rows) == ["per class", "nms", "center"]
    p_values = {name: stats.ttest_rel(errors, PAPER).pvalue for name, errors in (("nms", OTHER), ("center", CENTER))}
    small, large = sorted(p_values, key=p_values.__getitem__)
    adjusted = {small: 3 * p_values[small], large: max(3 * p_values[small], 2 * p_values[large]), "per class": 1.0}
    for name, errors in (("nms", OTHER), ("center", CENTER)):
        interval = stats.ttest_rel(errors, PAPER).confidence_interval(0.95)
        mean = sum(errors) / 3 - sum(PAPER) / 3
        wanted = f"{mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"
        assert rows[name] == [wanted, wanted, f"{adjusted[name]:.2g}", "3"]
    assert rows["per class"] == ["+0.00 (+0.00 to +0.00)"] * 2 + ["1", "3"]


def test_only_shared_seeds_are_compared() -> None:
    found = groups()
    found["nms"] = [test._replace(result=replace(test.result, seed=i)) for i, test in enumerate(found["nms"], 1)]
    found["center"] = found["center"][:1]
    ((row, *_),) = [[row for row in table.rows if row[0] == "nms"] for table in difference_table(found)]
    mean = (OTHER[0] - PAPER[1] + OTHER[1] - PAPER[2]) / 2
    assert row[1].startswith(f"{mean:+.2f} (")
    assert row[-1] == "2"
    assert "center" not in [row[0] for table in difference_table(found) for row in table.rows]


def test_runs_of_unknown_seeds_are_not_paired() -> None:
    """Their checkpoints do not say it. Two of them would be compared with one run, as if it had their seed."""
    found = groups()
    for name, number in (("paper", 1), ("nms", 1), ("nms", 2), ("center", 2)):
        found[name][number] = found[name][number]._replace(result=replace(found[name][number].result, seed=None))
    rows = {row[0]: row[-1] for table in difference_table(found) for row in table.rows}
    assert rows == {"per class": "2"}, "the others share one known seed with the reference"


@pytest.mark.parametrize("missing", ["paper", "all others"])
def test_nothing_to_compare_is_no_table(missing: str) -> None:
    found = groups()
    del found["per class"]
    kept = {name: tests for name, tests in found.items() if (name == "paper") == (missing == "all others")}
    assert difference_table(kept) == []


def test_detector_with_hard_negatives_is_the_reference() -> None:
    def detectors(scores: list[float], hard: int) -> list[BoxTestRun]:
        about = {**COMMON, "boxes": BoxOptions("detect", hard_negatives=hard), "detect": DetectOptions()}
        about |= {"task": "detect", "mistakes": dict.fromkeys(OUTCOMES, 0)}
        return [BoxTestRun(Path("run"), DetectionResult(seed=i, map=m, **about)) for i, m in enumerate(scores)]

    (table,) = difference_table({"none": detectors([5, 6, 7], 0), "hard": detectors([10, 12, 14], 8)})
    assert table.title == "Differences to: hard"
    ((name, points, _, seeds),) = table.rows
    assert (name, points[:5], seeds) == ("none", "-6.00", "3")
