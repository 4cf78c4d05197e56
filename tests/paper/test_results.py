"""Test results as the report collects them: which images are misclassified, and which runs are comparable."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import proxy_test, write_test

from alexnet_pl.paper import results
from alexnet_pl.paper.variants import variant_key

RANKS = [1, 2, 5, 6]  # rank of each image's label among the network's answers; 6: not among the five saved


def predicted_run(root: Path) -> results.TestRun:
    path = write_test(root, "run1", proxy_test("table2.cnn", images=len(RANKS)), 75.0, 25.0)
    best = [[0 if place == rank else place for place in range(1, 6)] for rank in RANKS]  # every label is class 0
    columns = {"image": [str(rank) for rank in RANKS], "label": [0] * len(RANKS), "best": best}
    table = pa.table(columns).replace_schema_metadata({"alexnet_pl": path.read_bytes()})
    pq.write_table(table, path.with_name("probabilities.parquet"))
    (test,) = results.collect_tests([root])
    return test


@pytest.mark.parametrize(
    ("metric", "wrong"), [("top1_error", [False, True, True, True]), ("top5_error", [False, False, False, True])]
)
def test_image_is_misclassified_if_its_label_is_not_among_the_best(
    tmp_path: Path, metric: str, wrong: list[bool]
) -> None:
    found = predicted_run(tmp_path).misclassified(metric)
    assert found is not None
    assert found.tolist() == wrong


@pytest.mark.parametrize(("metric", "lower"), [("top1_error", 74.9), ("top5_error", 0.0), ("top1_error", 76.0)])
def test_result_that_its_predictions_contradict_is_skipped(
    tmp_path: Path, metric: str, lower: float, capsys: pytest.CaptureFixture[str]
) -> None:
    path = predicted_run(tmp_path).path
    path.write_text(json.dumps(json.loads(path.read_text()) | {metric: lower}))
    assert results.collect_tests([tmp_path]) == []
    assert f"skipped: {path}: {metric} is {lower:.3f} %, but" in capsys.readouterr().err


def test_image_with_scores_that_are_not_finite_may_be_right_in_the_predictions(tmp_path: Path) -> None:
    path = predicted_run(tmp_path).path
    path.write_text(json.dumps(json.loads(path.read_text()) | {"top1_error": 100.0, "nonfinite": 1}))
    assert len(results.collect_tests([tmp_path])) == 1
    path.write_text(json.dumps(json.loads(path.read_text()) | {"top1_error": 50.0, "nonfinite": 1}))
    assert results.collect_tests([tmp_path]) == []


def test_predictions_of_another_shape_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = predicted_run(tmp_path).path
    table = pa.table({"image": ["1"], "label": [0], "best": ["one"]})
    footer = {"alexnet_pl": path.read_bytes()}
    pq.write_table(table.replace_schema_metadata(footer), path.with_name("probabilities.parquet"))
    assert len(results.collect_tests([tmp_path])) == 1
    assert f"skipped: {path.with_name('probabilities.parquet')}: corrupt" in capsys.readouterr().err


def reversed_keys(settings: dict) -> dict:
    return {key: reversed_keys(value) if isinstance(value, dict) else value for key, value in [*settings.items()][::-1]}


def test_setting_order_in_a_record_does_not_matter(tmp_path: Path) -> None:
    about = proxy_test("table2.cnn")
    write_test(tmp_path, "run1", about, 60.0)
    training = reversed_keys(about["training"])
    assert json.dumps(training) != json.dumps(about["training"])
    write_test(tmp_path, "run2", about | {"training": training}, 61.0)
    one, other = results.collect_tests([tmp_path])
    assert one.comparison_group == other.comparison_group
    assert one.variant == other.variant
    assert variant_key(training, False) == variant_key(about["training"], False)
