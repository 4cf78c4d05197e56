"""Differences between ways to find boxes, against scipy's paired t test."""

from typing import Any

import pytest
from scipy import stats

from alexnet_pl.reporting.box_differences import difference_table

PAPER, OTHER, CENTER = [49.0, 44.2, 46.9], [59.5, 53.1, 58.8], [60.0, 66.0, 61.0]


def make_tests(errors: list[float], **changed: Any) -> list[dict[str, Any]]:
    """One test per seed; `changed`: its settings of the section `detect`, or `per_class`."""
    boxes = {"per_class": changed.pop("per_class", False), "hard_negatives": 8}
    detect = {"positions": "all", "combine": "merge", "score": "normalized", "scales": [1, 2, 4, 6], **changed}
    common = {"task": "localise", "boxes": boxes, "detect": detect}
    return [{**common, "seed": i, "loc_error": e, "given_class_error": e - 1} for i, e in enumerate(errors)]


def groups() -> dict[str, list[dict[str, Any]]]:
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
    found["nms"] = [{**test, "seed": test["seed"] + 1} for test in found["nms"]]
    found["center"] = found["center"][:1]
    ((row, *_),) = [[row for row in table.rows if row[0] == "nms"] for table in difference_table(found)]
    mean = (OTHER[0] - PAPER[1] + OTHER[1] - PAPER[2]) / 2
    assert row[1].startswith(f"{mean:+.2f} (")
    assert row[-1] == "2"
    assert "center" not in [row[0] for table in difference_table(found) for row in table.rows]


@pytest.mark.parametrize("missing", ["paper", "all others"])
def test_nothing_to_compare_is_no_table(missing: str) -> None:
    found = groups()
    del found["per class"]
    kept = {name: tests for name, tests in found.items() if (name == "paper") == (missing == "all others")}
    assert difference_table(kept) == []


def test_detector_with_hard_negatives_is_the_reference() -> None:
    def detectors(scores: list[float], hard: int) -> list[dict[str, Any]]:
        tests = [{**test, "task": "detect", "map": m} for test, m in zip(make_tests(PAPER), scores, strict=True)]
        return [{**test, "boxes": {"hard_negatives": hard}} for test in tests]

    (table,) = difference_table({"none": detectors([5, 6, 7], 0), "hard": detectors([10, 12, 14], 8)})
    assert table.title == "Differences to: hard"
    ((name, points, _, seeds),) = table.rows
    assert (name, points[:5], seeds) == ("none", "-6.00", "3")
