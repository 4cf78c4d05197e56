"""result.json: all fields that a report needs, and intervals against scipy."""

import hashlib
import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from alexnet_pl.commands.classifier_test import print_test_result
from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.digests import sha256
from alexnet_pl.evaluation.intervals import wilson_interval
from alexnet_pl.evaluation.metrics import ErrorRates
from alexnet_pl.evaluation.result import TestDescription, TestResult, describe_errors, read_result, write_result
from alexnet_pl.json_records import to_json
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

HERE = Path(__file__).resolve().parents[2]


def by_scipy(wrong: int, count: int) -> tuple[float, float]:
    interval = binomtest(wrong, count).proportion_ci(confidence_level=0.95, method="wilson")
    return 100 * interval.low, 100 * interval.high


@given(st.integers(1, 10**7), st.data())
@settings(max_examples=200, deadline=None)
def test_interval_matches_scipy(count: int, data: st.DataObject) -> None:
    wrong = data.draw(st.integers(0, count))
    assert wilson_interval(wrong, count) == pytest.approx(by_scipy(wrong, count), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 10, 50_000, 10_000_000])
def test_interval_stays_within_0_and_100(count: int) -> None:
    for wrong in (0, count):
        low, high = wilson_interval(wrong, count)
        assert (low, high) == pytest.approx(by_scipy(wrong, count), abs=1e-6)
        assert 0 <= low < high <= 100
        assert low - 1e-9 <= 100 * wrong / count <= high + 1e-9


def errors_of(wrong1: int, wrong5: int, count: int) -> dict[str, float]:
    """Errors as a test returns them: percent, computed in float32 on the device, as Python floats."""
    errors = ErrorRates()
    errors.count, errors.wrong1, errors.wrong5 = torch.tensor(count), torch.tensor(wrong1), torch.tensor(wrong5)
    errors.nll = torch.tensor(1.5 * count)
    errors._update_count = 1
    return {name: float(value) for name, value in errors.compute().items()}


@given(st.integers(1, 150_000), st.data())
@settings(max_examples=200, deadline=None)
def test_intervals_use_exact_counts(count: int, data: st.DataObject) -> None:
    """Converting to percent in float32 and back must not lose an image, up to the 150,000 of the 2010 test set."""
    wrong1 = data.draw(st.integers(0, count))
    wrong5 = data.draw(st.integers(0, wrong1))
    found = describe_errors(errors_of(wrong1, wrong5, count))
    assert found["images"] == count
    assert found["top1_error"] == 100 * wrong1 / count, "no rounding of float32, such as 17.200000762939453"
    assert found["top5_error"] == 100 * wrong5 / count
    assert tuple(found["top1_error_interval"]) == wilson_interval(wrong1, count)
    assert tuple(found["top5_error_interval"]) == wilson_interval(wrong5, count)
    assert found["nll"] == pytest.approx(1.5)


def written(folder: Path, errors: dict[str, float]) -> tuple[TestResult, dict[str, Any]]:
    """(returned result, result read from the file as strict JSON)."""
    checkpoint = CheckpointInfo(file="last.ckpt", sha256="e" * 64)
    dataset = DatasetInfo(name="imagenette", fingerprint="f" * 64, split="val")
    tested = TestDescription(dataset=dataset, views="ten", checkpoint=checkpoint)
    result = write_result(folder / "result.json", errors, tested)
    return result, json.loads((folder / "result.json").read_text(), parse_constant=lambda word: pytest.fail(word))


def test_result_json_has_every_field_of_the_report(tmp_path: Path) -> None:
    returned, read = written(tmp_path, errors_of(1597, 371, 3925))
    assert read == json.loads(json.dumps(to_json(returned)))
    assert read_result(tmp_path / "result.json") == returned
    assert read["dataset"].items() >= {"name": "imagenette", "fingerprint": "f" * 64, "split": "val"}.items()
    assert read["schema"] == SCHEMA
    assert (read["images"], read["views"], read["nonfinite"]) == (3925, "ten", 0)
    assert read["top1_error"] == pytest.approx(100 * 1597 / 3925)
    assert read["top5_error"] == pytest.approx(100 * 371 / 3925)
    assert read["top1_error_interval"] == pytest.approx(by_scipy(1597, 3925), rel=1e-6)
    assert read["top5_error_interval"] == pytest.approx(by_scipy(371, 3925), rel=1e-6)
    assert read["nll"] == pytest.approx(1.5)
    assert read["checkpoint"].items() >= {"file": "last.ckpt", "sha256": "e" * 64}.items()
    assert read["claim"] is None


@pytest.mark.skipif(not (HERE / ".git").exists(), reason="no checkout")
def test_commit_is_the_packages_git_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is the package's, whatever the working folder."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True)
    monkeypatch.chdir(tmp_path)
    assert written(tmp_path, errors_of(1, 0, 10))[1]["commit"] == head.stdout.strip()


@pytest.mark.parametrize(("classes", "shown"), [(0, True), (2, False), (5, False), (6, True), (1000, True)])
def test_top_5_error_is_printed_for_more_than_five_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: int, shown: bool
) -> None:
    """0 classes: an older record, which does not say."""
    result, _ = written(tmp_path, errors_of(30, 20, 100))
    result = replace(result, dataset=replace(result.dataset, classes=classes), finished=True)
    print_test_result(result, tmp_path)
    end = ", top-5 error 20.00 %" if shown else ""
    assert f"top-1 error 30.00 % (95 %: 21.89 to 39.58){end}\n" in capsys.readouterr().out
    print_test_result(replace(result, finished=False), tmp_path)
    assert f"{end}; not the last weights of a finished fit\n" in capsys.readouterr().out


def test_result_of_a_diverged_network_is_valid_json(tmp_path: Path) -> None:
    """No image has a finite loss, so the mean is NaN, which JSON cannot represent."""
    errors = errors_of(10, 10, 10) | {"nll": math.nan, "nonfinite": 10.0}
    _, read = written(tmp_path, errors)
    assert (read["top1_error"], read["nonfinite"]) == (100.0, 10)


def test_file_hash_matches_hashlib(tmp_path: Path) -> None:
    for content in (b"", b"abc", bytes(3_000_001)):
        (tmp_path / "file").write_bytes(content)
        assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
