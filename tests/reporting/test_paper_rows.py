"""Rows of the paper: which runs fill them, with which mean and interval."""

import csv
import io
import json
import math
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_results import claim_test, proxy_test, write_test
from scipy import stats

from alexnet_pl.evaluation.intervals import wilson_interval
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.summary import count_neurons
from alexnet_pl.paper.claims import BY_KEY, CLAIMS
from alexnet_pl.paper.distinguishing import distinguish_groups
from alexnet_pl.paper.proxies import describe_conditions, group_proxies
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.paper.rows import count_training_images, make_rows
from alexnet_pl.reporting.missing_rows import measured_throughput, missing_cells, missing_rows
from alexnet_pl.reporting.report_csv import as_csv

ENDED = {"ended_by": "schedule", "store": {"fingerprint": "0"}}


def test_runs_on_the_papers_images_fill_its_rows(tmp_path: Path) -> None:
    for number, error in enumerate([41.0, 40.2, 40.5]):
        write_test(tmp_path, f"cnn{number}", claim_test("table2.cnn"), error)
    for number, error in enumerate([42.0, 41.7, 41.9]):
        write_test(tmp_path, f"norm{number}", claim_test("norm"), error)
    write_test(tmp_path, "five", claim_test("table2.5cnns"), 38.3, 16.6)
    rows = {row.claim.key: row.measured for row in make_rows(collect_tests([tmp_path]))}
    found = rows["table2.cnn"]["top1_error"]
    low, high = stats.t.interval(0.95, 2, loc=np.mean([41.0, 40.2, 40.5]), scale=stats.sem([41.0, 40.2, 40.5]))
    assert found == pytest.approx((np.mean([41.0, 40.2, 40.5]), low, high, 3))
    paired = stats.ttest_rel([42.0, 41.7, 41.9], [41.0, 40.2, 40.5])
    assert rows["norm"]["top1_error"].p == pytest.approx(paired.pvalue), "paired by seed"
    assert rows["norm"]["top1_error"].runs == 3
    assert rows["table2.5cnns"]["top5_error"] == pytest.approx((16.6, *wilson_interval(8300, 50_000), 1))
    answered = {key for key, ours in rows.items() if ours and not key.startswith("overfeat.")}
    assert answered == {"table2.cnn", "norm", "table2.5cnns", "parameters", "neurons", "conv3_share", "conv4_share"}


def test_sizes_of_overfeat_are_counted() -> None:
    """Parameters: the released weight files. Windows: strides 2 · 3 · 2 · 3, the last one left out for the fine stride;
    Table 5, whose printed columns in row 5 differ from the printed map (18 × 24)."""
    rows = {row.claim.key: row for row in make_rows([])}
    counted = {key: [value.mean for value in row.measured.values()] for key, row in rows.items()}
    printed = {key: list(row.claim.values.values()) for key, row in rows.items()}
    assert counted["overfeat.fast.parameters"] == [145_920_872]
    assert counted["overfeat.accurate.parameters"] == [144_656_488]
    assert counted["overfeat.connections.ratio"] == pytest.approx([5355.4 / 2801.4], abs=1e-3)
    for key, pixels in {"overfeat.subsampling.coarse": 2 * 3 * 2 * 3, "overfeat.subsampling.fine": 2 * 3 * 2}.items():
        assert counted[key] == printed[key] == [pixels]
    maps = [counted[f"overfeat.map{scale}"] for scale in range(1, 7)]
    assert maps == [printed[f"overfeat.map{scale}"] for scale in range(1, 7)]
    assert sum(height * width for height, width in maps) == 1575, "windows of an image at six scales"


def test_network_counts_match_the_paper() -> None:
    """Figure 2's "290,400–186,624–64,896–64,896–43,264–4096–4096–1000"."""
    with torch.device("meta"):
        net = AlexNet()
        layers = [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
        assert count_neurons(net) == sum(layers) == 659_272
    rows = {row.claim.key: row.measured for row in make_rows([])}
    assert rows["parameters"]["parameters"].mean == 60_965_224
    assert rows["conv3_share"]["conv3_share"].mean == pytest.approx(100 * 885_120 / 60_965_224)
    assert rows["conv4_share"]["conv4_share"].mean == pytest.approx(100 * (384 * 192 * 9 + 384) / 60_965_224)


def test_costs_are_epochs_times_images_of_all_networks_including_pre_training() -> None:
    one, five, seven = (count_training_images(BY_KEY[f"table2.{key}"]) for key in ("cnn", "5cnns", "7cnns*"))
    assert one == 91 * 1_281_167
    assert five == 5 * one
    assert seven == five + 2 * (54 * 1_281_167 + 8 * 14_100_000)


def test_epochs_until_a_training_error_are_read_from_the_log(tmp_path: Path) -> None:
    """A run has 40 % errors after its second epoch and 20 % after its third: 25 % is reached at three quarters."""
    path = write_test(tmp_path, "relu0", claim_test("figure1.relu"), 30.0)
    (test,) = collect_tests([tmp_path])
    assert test.metric_value("epochs_to_25") is None
    log = path.parents[2] / "metrics.csv"
    log.write_text("step,train/epoch_top1_error\n10,60\n15,\n20,40\n30,20\n")
    assert test.metric_value("epochs_to_25") == pytest.approx(2.75)
    log.write_text("step,train/epoch_top1_error\n10,60\n")
    assert test.metric_value("epochs_to_25") is None


def test_ablations_are_compared_with_runs_of_the_same_schedule(tmp_path: Path) -> None:
    """Errors of replayed logs are 10 points higher here: mixed with the others they would change the difference."""
    for key, setup, name, error in (("table2.cnn", 1, "cnn0", 50.0), ("norm", 0, "norm0", 42.0)):
        write_test(tmp_path, name, claim_test(key, setup), error)
    assert "top1_error" not in measured(tmp_path, "norm")
    write_test(tmp_path, "norm1", claim_test("norm", 1), 51.0)
    assert measured(tmp_path, "norm")["top1_error"].mean == pytest.approx(1.0)
    write_test(tmp_path, "cnn2", claim_test("table2.cnn"), 40.0)
    assert measured(tmp_path, "norm")["top1_error"].mean == pytest.approx(2.0), "the recipe's own schedule first"


def test_rows_are_means_over_one_schedule(tmp_path: Path) -> None:
    """A replayed log fills a row of errors, but says nothing about the number of epochs."""
    write_test(tmp_path, "logged0", claim_test("table1.cnn", 1), 30.0, trained={**ENDED, "epochs": 90})
    assert measured(tmp_path, "table1.cnn")["top1_error"].mean == 30
    assert "epochs" not in measured(tmp_path, "epochs")
    for number, (error, epochs) in enumerate([(38.0, 80), (37.0, 90)]):
        trained = {**ENDED, "epochs": epochs}
        write_test(tmp_path, f"plateau{number}", claim_test("table1.cnn"), error, trained=trained)
    assert measured(tmp_path, "table1.cnn")["top1_error"].mean == pytest.approx(37.5)
    found = measured(tmp_path, "epochs")["epochs"]
    assert (found.mean, found.low) == (85, max(0.0, 85 - stats.t.ppf(0.975, 1) * 5))


def test_csv_has_empty_cells_for_an_interval_that_one_run_cannot_have(tmp_path: Path) -> None:
    write_test(tmp_path, "plateau0", claim_test("table1.cnn"), 38.0, trained={**ENDED, "epochs": 80})
    lines = {
        (line["row"], line["metric"]): line
        for line in csv.DictReader(io.StringIO(as_csv(make_rows(collect_tests([tmp_path])), [])))
    }
    epochs = lines["epochs", "epochs"]
    assert [epochs[name] for name in ("paper", "ours", "low", "high", "runs")] == ["90", "80.0", "", "", "1"]
    assert "nan" not in {cell for line in lines.values() for cell in line.values()}


def test_figure_1_has_no_mean_without_the_runs_that_never_come_to_25_percent(tmp_path: Path) -> None:
    for number, errors in enumerate(([40, 20], [40, 30], [30, 10])):
        path = write_test(tmp_path, f"relu{number}", claim_test("figure1.relu"), 30.0)
        rows = "".join(f"{epoch},{error}\n" for epoch, error in enumerate(errors, 1))
        (path.parents[2] / "metrics.csv").write_text(f"step,train/epoch_top1_error\n{rows}")
        assert ("epochs_to_25" in measured(tmp_path, "figure1.relu")) == (number < 1)


def test_cifar_row_is_a_mean_over_one_kind_of_views(tmp_path: Path) -> None:
    ten = claim_test("cifar.13pct") | {"views": "ten"}
    write_test(tmp_path, "a0", ten, 12.0)
    write_test(tmp_path, "b1", ten, 13.0)
    assert measured(tmp_path, "cifar.13pct")["top1_error"].mean == pytest.approx(12.5)
    write_test(tmp_path, "c2", claim_test("cifar.13pct"), 14.0)
    assert measured(tmp_path, "cifar.13pct")["top1_error"].mean == pytest.approx(14.0)


def measured(folder: Path, key: str) -> dict[str, Any]:
    """Our values of a row, from the tests below a folder."""
    return {row.claim.key: row.measured for row in make_rows(collect_tests([folder]))}[key]


def test_repetitions_of_one_seed_count_once(tmp_path: Path) -> None:
    for name, error in {"a0": 41.0, "b0": 41.0, "c0": 41.3, "d1": 40.0}.items():
        write_test(tmp_path, name, claim_test("table2.cnn"), error)
    found = {row.claim.key: row.measured for row in make_rows(collect_tests([tmp_path]))}["table2.cnn"]["top1_error"]
    assert (found.mean, found.runs) == (pytest.approx(40.5), 2)


def test_ensembles_that_share_a_network_count_once(tmp_path: Path) -> None:
    for name, first, error in (("a", 0, 38.0), ("b", 4, 39.0), ("c", 5, 40.0)):
        made = claim_test("table2.5cnns")
        for number, member in enumerate(made["members"], first):
            member.update(seed=number, checkpoint={"sha256": f"file {number}", "weights": f"weights {number}"})
        made["checkpoint"]["sha256"] = name
        write_test(tmp_path, name, made, error)
    found = {row.claim.key: row.measured for row in make_rows(collect_tests([tmp_path]))}["table2.5cnns"]["top1_error"]
    assert (found.mean, found.runs) == (pytest.approx(39.0), 2), "seeds 0 to 4 and 5 to 9"


def test_tuned_ensembles_are_not_pooled_with_equal_weights(tmp_path: Path) -> None:
    write_test(tmp_path, "equal", proxy_test("table2.5cnns"), 15.0)
    write_test(tmp_path, "tuned", proxy_test("table2.5cnns"), 5.0, weights_tuned_on="same")
    (found,) = group_proxies(collect_tests([tmp_path]))
    assert {one.label: one.values["top1_error"].mean for one in found.errors} == {
        "5 CNNs": 15.0,
        "5 networks, weights tuned on the same images (tuned)": 5.0,
    }


def write_log(run: Path, host: str, crop: int, rates: list[float], width: float = 1.0) -> None:
    run.mkdir(parents=True)
    training = {"augment": {"crop": crop}, "model": {"width": width}}
    fit = {"finished": False, "training": training, "store": {}, "changed": False}
    (run / "fit.json").write_text(json.dumps(fit))
    session = {"time": "2026-01-01", "host": host, "command": "fit", "argv": [], "packages": {}, "machine": "cpu"}
    (run / "provenance.json").write_text(json.dumps({"sessions": [session]}))
    (run / "metrics.csv").write_text("step,train/images_per_second\n" + "".join(f"1,{rate}\n" for rate in rates))


def test_hours_use_what_runs_logged_on_this_machine(tmp_path: Path) -> None:
    assert measured_throughput([tmp_path]) is None
    write_log(tmp_path / "elsewhere", "another machine", 224, [9000.0])
    write_log(tmp_path / "small", platform.node(), 96, [9000.0])
    write_log(tmp_path / "narrow", platform.node(), 224, [9000.0], width=0.25)
    write_log(tmp_path / "unknown", "", 224, [9000.0])
    (tmp_path / "unknown/provenance.json").unlink()
    assert measured_throughput([tmp_path]) is None
    write_log(tmp_path / "one", platform.node(), 224, [4000.0, 5000.0, 6000.0])
    assert measured_throughput([tmp_path]) == 5000


def test_hours_are_known_for_rows_with_the_papers_network_alone() -> None:
    hours = {key: missing_cells("", [BY_KEY[key]], 100.0)[-1] for key in ("table2.cnn", "cifar.13pct")}
    assert hours["cifar.13pct"] == "not known"
    assert hours["table2.cnn"] == f"{count_training_images(BY_KEY['table2.cnn']) / 100 / 3600:,.0f}"


def test_tuned_and_equal_weights_of_the_same_members_are_two_results(tmp_path: Path) -> None:
    path = write_test(tmp_path, "equal", proxy_test("table2.5cnns"), 12.0)
    tuned = json.loads(path.read_text()) | {"top1_error": 10.0, "weights_tuned_on": "half"}
    other = tmp_path / "tuned" / path.relative_to(tmp_path / "equal")
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps(tuned))
    assert sorted(test.result.top1_error for test in collect_tests([tmp_path])) == [10.0, 12.0]


def test_fit_without_a_limit_of_epochs_is_reported(tmp_path: Path) -> None:
    """Such as one of `trainer.max_steps`."""
    made = proxy_test("table2.cnn")
    made["training"]["trainer"]["max_epochs"] = None
    write_test(tmp_path, "run", made, 40.0)
    (test,) = collect_tests([tmp_path])
    assert describe_conditions(test).endswith("any number of epochs")
    assert distinguish_groups([[test]]) == [""]


def test_one_epoch_is_singular(tmp_path: Path) -> None:
    for epochs in (1, 2):
        about = proxy_test("table2.cnn")
        about["training"]["trainer"]["max_epochs"] = epochs
        write_test(tmp_path, f"run{epochs}", about, 40.0)
    one, two = group_proxies(collect_tests([tmp_path]))
    assert (one.name, two.name) == ("imagenette, 1 epoch", "imagenette, 2 epochs")
    assert one.conditions.endswith("at most 1 epoch")


def test_command_names_all_rows_that_it_measures() -> None:
    rows = {cells[1]: cells[0] for cells in missing_rows(make_rows([]), None).rows}
    assert rows["python -m alexnet_pl reproduce -c ilsvrc2010 data.root=FOLDER"] == (
        "CNN (Table 1); epochs (§6); days of training (§2, §6); iterations, with ÷ without dropout (§5.2)"
    )
    measurable = {f"{claim.label} ({claim.section})" for claim in CLAIMS if claim.recipe and claim.data}
    assert measurable == {name for names in rows.values() for name in names.split("; ")}


def test_qualitative_claims_have_no_number() -> None:
    without = {claim.key for claim in CLAIMS if any(map(math.isnan, claim.values.values()))}
    assert without == {"crops", "dropout", "without.conv5", "figure1.relu"}
