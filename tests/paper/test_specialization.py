"""Specialization of the two GPUs' kernels (Figure 3) in runs of each variant, and its tables."""

import json
from pathlib import Path

import pytest
from made_results import claim_test, proxy_test, write_test

from alexnet_pl.paper.results import collect_tests
from alexnet_pl.paper.specialization import Specialization, measure_specialization
from alexnet_pl.reporting.specialization_tables import specialization_tables

GRAY, COLORED = [0.0, 0.1, 0.0, 0.1], [0.9, 1.0, 1.0, 0.9]
MIXED = [0.0, 1.0, 0.1, 0.9], [1.0, 0.0, 0.9, 0.1]


def make_run(root: Path, name: str, key: str, halves: tuple[list[float], ...], error: float = 20.0) -> Path:
    run = write_test(root, name, proxy_test(key), error).parents[2]
    color = [share for half in halves for share in half]
    record = {"towers": len(halves), "color": color, "total": [1.0] * len(color)}
    (run / "kernels.json").write_text(json.dumps(record))
    return run


def by_label(root: Path) -> dict[str, Specialization]:
    return {one.label: one for one in measure_specialization(collect_tests([root]))}


def test_runs_of_a_variant_are_measured_together(tmp_path: Path) -> None:
    make_run(tmp_path, "cnn0", "table2.cnn", (GRAY, COLORED))
    make_run(tmp_path, "cnn1", "table2.cnn", (COLORED, GRAY))
    make_run(tmp_path, "norm0", "norm", MIXED)
    found = by_label(tmp_path)
    assert {label: len(one.runs) for label, one in found.items()} == {"CNN": 2, "no response normalization": 1}
    assert found["CNN"].shares == pytest.approx((0.05, 0.95))
    assert found["no response normalization"].shares == pytest.approx((0.5, 0.5))
    assert found["CNN"].p == pytest.approx((2 / 70) ** 2, rel=0.7)  # 2 of 70 splits in each run
    assert found["no response normalization"].p == 1


def test_one_test_of_each_run_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path, "cnn0", "table2.cnn", (GRAY, COLORED))
    center = proxy_test("table2.cnn") | {"views": "center"}
    (tmp_path / "again").mkdir()
    path = write_test(tmp_path / "again", "cnn0", center, 22.0)
    (run / "results/val-center").mkdir()
    path.rename(run / "results/val-center/result.json")
    (one,) = measure_specialization(collect_tests([tmp_path / "cnn0"]))
    assert (one.label, len(one.runs)) == ("CNN", 1)


def test_one_gpu_untrained_and_official_networks_are_left_out(tmp_path: Path) -> None:
    make_run(tmp_path, "towers0", "towers", (GRAY + COLORED,))
    make_run(tmp_path, "tanh0", "dropout", (GRAY, COLORED), error=80.0)
    official = write_test(tmp_path, "official0", claim_test("table2.cnn"), 40.0).parents[2]
    (official / "kernels.json").write_text((tmp_path / "towers0/kernels.json").read_text())
    write_test(tmp_path, "unknown0", proxy_test("table2.cnn"), 20.0)
    assert by_label(tmp_path) == {}
    assert specialization_tables([]) == []


def test_damaged_record_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, "cnn0", "table2.cnn", (GRAY, COLORED))
    (run / "kernels.json").write_text('{"towers": 2, "color": [1.0], "total": [1.0]}')
    assert by_label(tmp_path) == {}
    error = capsys.readouterr().err
    assert str(run / "kernels.json") in error
    assert "1 and 1 kernels, towers=2" in error


def test_runs_at_several_rates_and_repetitions_are_not_pooled(tmp_path: Path) -> None:
    """The repetition has the settings and seed of another run, and other weights, as on another machine."""
    make_run(tmp_path, "cnn1", "table2.cnn", (GRAY, COLORED))
    make_run(tmp_path, "cnn2", "table2.cnn", (GRAY, COLORED))
    make_run(tmp_path / "repetition", "cnn1", "table2.cnn", (COLORED, GRAY), error=21.0)
    faster = proxy_test("table2.cnn")
    faster["training"]["optim"] = {**faster["training"]["optim"], "lr": 0.02}
    run = write_test(tmp_path, "faster3", faster, 20.0).parents[2]
    (run / "kernels.json").write_bytes((tmp_path / "cnn1/kernels.json").read_bytes())
    found = by_label(tmp_path)
    assert {label: len(one.runs) for label, one in found.items()} == {"CNN": 2, "CNN, rate 0.02": 1}


def test_test_on_other_images_is_no_second_measurement(tmp_path: Path) -> None:
    run = make_run(tmp_path, "cnn0", "table2.cnn", (GRAY, COLORED))
    elsewhere = proxy_test("table2.cnn", name="imagenet_a", fingerprint="a")
    elsewhere["trained"] = {**elsewhere["trained"], "store": proxy_test("table2.cnn")["dataset"]}
    path = write_test(tmp_path / "again", "cnn0", elsewhere, 20.0)
    (run / "results/imagenet_a-val-ten").mkdir()
    path.rename(run / "results/imagenet_a-val-ten/result.json")
    (one,) = measure_specialization(collect_tests([tmp_path / "cnn0"]))
    assert one.dataset == "imagenette"


def test_table_names_shares_and_chance(tmp_path: Path) -> None:
    make_run(tmp_path, "cnn0", "table2.cnn", (COLORED, GRAY))
    (table,) = specialization_tables(measure_specialization(collect_tests([tmp_path])))
    ((label, runs, low, high, difference, chance, p),) = table.rows
    assert (label, runs, low, high, difference) == ("CNN", "1", "0.05", "0.95", "0.90")
    assert 0.1 < float(chance) < 0.4
    assert float(p) == pytest.approx(2 / 70, abs=0.01)
    assert "imagenette" in table.title


def test_fits_of_another_length_have_a_table_of_their_own(tmp_path: Path) -> None:
    """Tuned rates of variants do not; they are named."""
    make_run(tmp_path, "cnn0", "table2.cnn", (COLORED, GRAY))
    for name, key, section, value in (
        ("longer1", "table2.cnn", "trainer", {"max_epochs": 50}),
        ("tuned2", "dropout", "optim", {**proxy_test("dropout")["training"]["optim"], "lr": 0.005}),
    ):
        about = proxy_test(key)
        about["training"][section] = value
        run = write_test(tmp_path, name, about, 20.0).parents[2]
        (run / "kernels.json").write_bytes((tmp_path / "cnn0/kernels.json").read_bytes())
    found = measure_specialization(collect_tests([tmp_path]))
    assert [(one.label, one.dataset) for one in found] == [
        ("CNN", "imagenette, 5 epochs"),
        ("no dropout, rate 0.005", "imagenette, 5 epochs"),
        ("CNN", "imagenette, 50 epochs"),
    ]
