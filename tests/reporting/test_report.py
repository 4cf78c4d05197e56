"""`report`: tables from run folders; proxy results are separate; rows without a result show their command."""

import csv
import json
import math
import platform
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damages import REMOVED, with_value
from made_results import claim_test, proxy_test, write_test
from PIL import Image
from running import Compose
from scipy import stats

from alexnet_pl.commands.report import report
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.intervals import wilson_interval
from alexnet_pl.figures import report_chart
from alexnet_pl.figures.style import LIGHT
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.summary import count_neurons
from alexnet_pl.paper.claims import BY_KEY, CLAIMS
from alexnet_pl.paper.distinguishing import distinguish_groups
from alexnet_pl.paper.proxies import describe_conditions, group_proxies
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.paper.rows import count_training_images, make_rows
from alexnet_pl.reporting import report_page, tables
from alexnet_pl.reporting.measured_page import provenance_table
from alexnet_pl.reporting.paper_tables import measured_throughput, missing_cells, missing_rows, paper_tables
from alexnet_pl.reporting.proxy_tables import proxy_tables
from alexnet_pl.table import Table, print_tables


def test_runs_on_the_papers_images_fill_its_rows(tmp_path: Path) -> None:
    for number, error in enumerate([41.0, 40.2, 40.5]):
        write_test(tmp_path, f"cnn{number}", claim_test("table2.cnn"), error)
    for number, error in enumerate([42.0, 41.7]):
        write_test(tmp_path, f"norm{number}", claim_test("norm"), error)
    write_test(tmp_path, "five", claim_test("table2.5cnns"), 38.3, 16.6)
    rows = {row.claim.key: row.measured for row in make_rows(collect_tests([tmp_path]))}
    found = rows["table2.cnn"]["top1_error"]
    low, high = stats.t.interval(0.95, 2, loc=np.mean([41.0, 40.2, 40.5]), scale=stats.sem([41.0, 40.2, 40.5]))
    assert found == pytest.approx((np.mean([41.0, 40.2, 40.5]), low, high, 3))
    assert rows["norm"]["top1_error"].mean == pytest.approx(np.mean([42.0 - 41.0, 41.7 - 40.2])), "paired by seed"
    assert rows["norm"]["top1_error"].runs == 2
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


def test_proxy_runs_fill_no_row_of_the_paper(tmp_path: Path) -> None:
    """Includes a small folder with the right name, part of the right images, and a result that names a claim itself."""
    write_test(tmp_path, "imagenette", proxy_test("table2.cnn"), 20.0, claim="table2.cnn")
    write_test(tmp_path, "small", proxy_test("table2.cnn", name="ilsvrc2012", classes=1000, images=50_000), 20.0)
    write_test(tmp_path, "part", claim_test("table2.cnn"), 20.0, images=1000, claim="table2.cnn")
    short = claim_test("table2.cnn")
    short["training"]["trainer"]["max_epochs"] = 2
    write_test(tmp_path, "short", short, 20.0, claim="table2.cnn")
    unfinished = claim_test("table2.cnn")
    unfinished["training"] = None
    write_test(tmp_path, "unfinished", unfinished, 20.0, claim="table2.cnn")
    tests = collect_tests([tmp_path])
    assert len(tests) == 5
    assert not any(row.measured for row in make_rows(tests) if row.claim.data)
    shown = [one.description for one in group_proxies(tests)]
    assert len(shown) == 3, "the part and the unfinished run are in no table at all"


def test_paper_comparisons_on_proxy_data(tmp_path: Path) -> None:
    base = [20.0, 21.0, 20.5]
    for number, error in enumerate(base):
        write_test(tmp_path, f"cnn{number}", proxy_test("table2.cnn"), error)
    worse, same = [24.0, 24.5, 25.0], [20.2, 21.3, 19.9]
    dead = [44.0, 44.0, 47.1]  # guessing among ten classes has 90 % errors; half of that is 45
    for key, errors in {"norm": worse, "overlap": same, "towers": [e - 4 for e in base], "dropout": dead}.items():
        for number, error in enumerate(errors):
            write_test(tmp_path, f"{key}{number}", proxy_test(key), error)
    write_test(tmp_path, "five", proxy_test("table2.5cnns"), 15.0)
    write_test(tmp_path, "other", proxy_test("table2.cnn", fingerprint="1"), 90.0)
    first, second = group_proxies(collect_tests([tmp_path]))
    found = {one.claim.key: one for one in first.comparisons}
    assert set(found) == {"table2.5cnns", "norm", "overlap", "towers", "dropout"}
    towers = [e - 4 for e in base]
    statistics = stats.dunnett(worse, towers, same, dead, control=base).statistic  # by the spread of all 15 runs
    p_values = dict(zip(["norm", "towers", "overlap", "dropout"], 2 * stats.t.sf(abs(statistics), 10), strict=True))
    assert {key: found[key].ours["top1_error"].p for key in p_values} == pytest.approx(p_values)
    half = 4.0 / statistics[0] * stats.t.ppf(0.975, 10)
    assert found["norm"].ours["top1_error"][:4] == pytest.approx((4.0, 4.0 - half, 4.0 + half, 3))
    assert found["dropout"].p == pytest.approx(5 * p_values["dropout"]), "Holm: the lowest of five"
    assert found["norm"].paper["top1_error"] == 1.4
    assert found["table2.5cnns"].paper["top1_error"] == pytest.approx(38.1 - 40.7)
    said = {key: one.verdict for key, one in found.items()}
    assert said == {
        "norm": "as in the paper",
        "dropout": "did not train",
        "overlap": "inconclusive",
        "towers": "opposite",
        "table2.5cnns": "as in the paper, by one run",
    }
    drawn = [label for label, _, _ in report_chart.proxy_lines(first)]
    assert drawn == [one.claim.label for one in first.comparisons if one.claim.key != "dropout"]
    assert [one.label for one in first.errors[:3]] == ["CNN", "5 CNNs", "one GPU, half the kernels"]
    assert not second.comparisons, "one kind of network alone"


def test_damaged_predictions_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(tmp_path, "norm0", proxy_test("norm"), 25.0)
    path = write_test(tmp_path, "cnn0", proxy_test("table2.cnn"), 20.0).with_name("probabilities.parquet")
    path.write_bytes(b"PAR1")
    (results,) = group_proxies(collect_tests([tmp_path]))
    assert [one.ours["top1_error"].basis for one in results.comparisons] == ["images"], "not paired by image"
    assert capsys.readouterr().err.count(f"skipped: {path}: corrupt") == 1


def test_tuned_rates_are_compared_and_several_rates_of_a_variant_are_not(tmp_path: Path) -> None:
    tuned = proxy_test("dropout")
    tuned["training"]["optim"] = {**tuned["training"]["optim"], "lr": 0.005}
    for seed, (program, without) in enumerate([(20.0, 25.0), (21.0, 26.5)]):
        write_test(tmp_path, f"cnn{seed}", proxy_test("table2.cnn"), program)
        write_test(tmp_path, f"dropout{seed}", tuned, without)
    (results,) = group_proxies(collect_tests([tmp_path]))
    assert [one.ours["top1_error"].mean for one in results.comparisons] == [5.25]
    write_test(tmp_path, "other0", proxy_test("dropout"), 30.0)
    first, second = sorted(group_proxies(collect_tests([tmp_path])), key=lambda one: len(one.comparisons))
    assert not first.comparisons
    assert [one.ours["top1_error"].mean for one in second.comparisons] == [9.5], "at the rate of the full network alone"


def test_runs_of_another_length_are_not_compared(tmp_path: Path) -> None:
    longer = proxy_test("norm")
    longer["training"]["trainer"]["max_epochs"] = 50
    write_test(tmp_path, "cnn", proxy_test("table2.cnn"), 20.0)
    write_test(tmp_path, "norm", longer, 15.0)
    assert not any(one.comparisons for one in group_proxies(collect_tests([tmp_path])))


def test_top_5_errors_are_left_out_for_five_classes_or_fewer(tmp_path: Path) -> None:
    for key, error in {"table2.cnn": 20.0, "norm": 25.0}.items():
        write_test(tmp_path, key.replace(".", "_"), proxy_test(key, classes=5, name="five"), error, 0.0)
        write_test(tmp_path, key.replace(".", "_") + "_six", proxy_test(key, classes=6, name="six"), error, 1.5)
    tests = collect_tests([tmp_path])
    five, six = group_proxies(tests)
    (errors, compared), with_top5 = proxy_tables(five), proxy_tables(six)
    assert errors.header == ["network", "top-1 error, % (95 % interval)", "runs"]
    assert [len(row) for row in errors.rows] == [3, 3]
    assert compared.header[3:5] == ["paper, top-1 points", "ours, top-1 points (95 % interval)"]
    assert (compared.rows[0][3], compared.rows[0][4].count("(")) == ("+1.4", 1)
    assert with_top5[0].header[2:] == ["top-5 error, % (95 % interval)", "runs"]
    assert with_top5[0].rows[0][2].startswith("1.50 (")
    assert (with_top5[1].rows[0][3], with_top5[1].rows[0][4].count("(")) == ("+1.4 / +1.2", 2)
    cells = {row[0]: row[2] for row in provenance_table(tests, tmp_path).rows}
    assert {name: cell for name, cell in cells.items() if name.startswith("norm")} == {
        "norm, val, ten": "",
        "norm_six, val, ten": "1.50",
    }


def test_groups_on_one_data_set_are_headed_by_what_distinguishes_them(tmp_path: Path) -> None:
    biases, decay, longer, rate = (
        proxy_test("table2.cnn"),
        proxy_test("table2.cnn"),
        proxy_test("norm"),
        proxy_test("table2.cnn"),
    )
    biases["training"]["optim"] = {**biases["training"]["optim"], "bias_lr_scale": 1.0}
    decay["training"]["optim"] = {**decay["training"]["optim"], "weight_decay": 0.0}
    longer["training"]["trainer"] = {"max_epochs": 50}
    rate["training"]["optim"] = {**rate["training"]["optim"], "lr": 0.5}
    write_test(tmp_path, "cnn", proxy_test("table2.cnn"), 20.0)
    write_test(tmp_path, "norm", proxy_test("norm"), 21.0)
    assert [one.name for one in group_proxies(collect_tests([tmp_path]))] == ["imagenette"]
    for name, about in {"biases": biases, "decay": decay, "longer": longer, "rate": rate}.items():
        write_test(tmp_path, name, about, 15.0)
    write_test(tmp_path, "elsewhere", proxy_test("table2.cnn", name="other"), 20.0)
    mixed = proxy_test("table2.5cnns")
    mixed["members"][1]["training"]["trainer"] = {"max_epochs": 50}
    write_test(tmp_path, "mixed", mixed, 15.0)
    groups = group_proxies(collect_tests([tmp_path]))
    assert sorted(one.name for one in groups) == [
        "imagenette, 5 epochs, optim.weight_decay=0.0005, optim.lr=0.01",
        "imagenette, 50 epochs",
        "imagenette, networks of mixed",
        "imagenette, optim.lr=0.5",
        "imagenette, optim.weight_decay=0.0",
        "other",
    ]
    labels = [error.label for one in groups for error in one.errors]
    assert labels.count("equal learning rate for biases") == 1, "with the program's network, as another variant"
    titles = [table.title for one in groups for table in proxy_tables(one)]
    assert len(set(titles)) == len(titles) == 7, "and one table of comparisons"


def test_copied_test_counts_once(tmp_path: Path) -> None:
    path = write_test(tmp_path, "a", claim_test("table2.cnn"), 40.0)
    copied = tmp_path / "b/results/val-ten/result.json"
    copied.parent.mkdir(parents=True)
    copied.write_text(path.read_text())
    assert len(collect_tests([tmp_path, tmp_path])) == 1


def test_corrupt_result_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_test(tmp_path, "a", claim_test("table2.cnn"), 40.0)
    for content in ("{", "[]", '{"dataset": {}}'):
        path.write_text(content)
        assert collect_tests([tmp_path]) == []
        assert "a/results/val-ten/result.json: corrupt or not written by this package (" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"report.runs: .*away does not exist"):
        collect_tests([tmp_path / "away"])


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        (("training", "trainer"), [[]], r"training: a section is missing"),
        (("training", "optim"), REMOVED, r"training: a section is missing"),
        (("training", "trainer", "max_epochs"), "x", r"training.trainer.max_epochs"),
        (("training", "augment", "crop"), REMOVED, r"training.augment.crop"),
        (("dataset", "classes"), 0, r"no images, or no classes"),
        (("images",), 0, r"no images, or no classes"),
        (("top1_error_interval",), [], r"top1_error_interval: not two numbers"),
    ],
)
def test_run_with_an_incomplete_record_is_left_out(
    tmp_path: Path, keys: tuple[str, ...], value: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_test(tmp_path, "a", claim_test("table2.cnn"), 40.0)
    path.write_text(json.dumps(with_value(json.loads(path.read_text()), keys, value)))
    assert collect_tests([tmp_path]) == []
    assert re.search(rf"a/results/val-ten/result.json: corrupt.*{says}", capsys.readouterr().err)


def test_run_with_a_corrupt_log_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_test(tmp_path, "a", claim_test("table2.cnn"), 40.0)
    (path.parents[2] / "metrics.csv").write_text("step,train/epoch_top1_error\none,50\n2,40\n")
    assert collect_tests([tmp_path]) == []
    assert "skipped: " in (told := capsys.readouterr().err)
    assert "a/metrics.csv: line 2: corrupt" in told


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


def test_wide_tables_fit_80_columns_without_losing_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    header = [f"a long heading {letter}" for letter in "abcdef"]
    row = ["supercalifragilistic", "+920,870.5", "1.7 / 1.2", "not yet measured", "9,999,999", "−13,553.75"]
    print_tables([Table("title", header, [row])])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [" ".join(filter(None, column)).replace(" ", "") for column in zip(*cells, strict=True)] == [
        cell.replace(" ", "") for cell in row
    ]


@pytest.mark.parametrize("measured", [False, True])
def test_chart_names_the_paper_of_a_table_and_only_what_it_shows(measured: bool, tmp_path: Path) -> None:
    """Both papers have a Table 2."""
    if measured:
        write_test(tmp_path, "cnn0", claim_test("table2.cnn"), 41.0)
    rows = make_rows(collect_tests([tmp_path]))
    labels = [label for label, _, _ in report_chart.chart_lines(rows, relative=False)]
    assert {"1 CNN (Table 2)", "1 fast, scale 1, coarse stride (OverFeat, Table 2)"} <= set(labels)
    (legend,) = report_chart.draw_comparison_chart(rows, [], LIGHT).legends
    assert [text.get_text() for text in legend.get_texts()] == ["the paper", *["ours, with 95 % interval"] * measured]


def test_chart_shows_the_label_of_every_row(tmp_path: Path) -> None:
    """The last of the paper's parts, dropout, has no number: no mark in its row sets the limits of the axis."""
    lines = report_chart.chart_lines(make_rows([]), relative=True)
    assert math.isnan(lines[-1][1])
    assert lines[-1][0] == "no dropout (§5.2, no number in the paper)"
    figure = report_chart.draw_comparison_chart(make_rows([]), [], LIGHT)
    figure.draw_without_rendering()
    axis = figure.axes[-1]
    labels = axis.get_yticklabels()
    assert [label.get_text() for label in labels] == [label for label, _, _ in lines]
    frame = axis.get_window_extent()
    for label in labels:
        box = label.get_window_extent()
        assert frame.y0 < box.y0 < box.y1 < frame.y1, label.get_text()


class Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def test_all_output_formats_agree(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for number, error in enumerate([41.0, 40.2, 40.5]):
        write_test(tmp_path / "runs", f"cnn{number}", claim_test("table2.cnn"), error)
    for number, error in enumerate([20.0, 21.0]):
        write_test(tmp_path / "runs", f"other{number}", proxy_test("table2.cnn"), error)
        write_test(tmp_path / "runs", f"norm{number}", proxy_test("norm"), error + 9)
    report(config("_base", f"report.runs={tmp_path / 'runs'}", "report.images_per_second=1000"), tmp_path / "out")
    printed = capsys.readouterr().out
    out = {path.name: path for path in (tmp_path / "out").iterdir()}
    drawn = {f"report{theme}.{form}" for theme in ("", "-dark") for form in ("png", "svg")}
    assert set(out) == {f"report.{form}" for form in ("md", "tex", "html", "csv")} | drawn | {"measured.md"}
    cells = Cells()
    cells.feed(out["report.html"].read_text())
    written = [out["report.md"].read_text(), out["report.tex"].read_text(), cells.text]
    for text in (printed, *written):
        for said in ("40.57 (39.56 to 41.57)", "40.7", "top-1 error, %", "imagenette"):
            assert said in text.replace("\\%", "%"), said
    for text in written:
        for said in ("not yet measured", "reported by others", "ensemble_5cnns", "million images", "583", "162"):
            assert said in text.replace("\\_", "_"), said
        assert all(claim.label in text.replace("\\%", "%") for claim in CLAIMS if "&" not in claim.label)
    with out["report.csv"].open(newline="") as file:
        lines = {(line["row"], line["metric"], line["data"]): line for line in csv.DictReader(file)}
    row = lines["1 CNN", "top1_error", "ILSVRC-2012 val"]
    assert (float(row["paper"]), float(row["ours"]), row["runs"]) == (40.7, pytest.approx(40.5667, abs=1e-4), "3")
    assert len({line["row"] for line in lines.values()}) >= len(CLAIMS) - 5
    with Image.open(out["report.png"]) as picture:
        assert picture.width > 800
    proxies = out["measured.md"].read_text()
    assert proxies.startswith("# What these runs measured\n")
    for said in ("docs/data/evidence", "No seed was chosen", "make evidence"):
        assert said not in proxies, "true of the repository's kept runs alone"
    assert "imagenette" in proxies
    assert "40.57" not in proxies, "no number of ImageNet among the proxies"
    assert "| cnn0, val, ten" not in proxies, "nor among their sources"
    assert "| norm0, val, ten" in proxies.split("## Provenance of each number")[1]
    assert "nan" not in "".join([printed, *written]).lower()


def test_page_begins_with_the_runs_of_the_user(config: Compose, tmp_path: Path) -> None:
    write_test(tmp_path / "runs", "norm0", claim_test("norm"), 42.0)
    write_test(tmp_path / "runs", "nette0", proxy_test("table2.cnn"), 20.0)
    write_test(tmp_path / "runs", "drawn0", proxy_test("table2.cnn", name="demo"), 20.0)
    report(config("_base", f"report.runs={tmp_path / 'runs'}"), tmp_path / "out")
    text, html = ((tmp_path / f"out/report.{form}").read_text() for form in ("md", "html"))
    about = f"3 tests in {tmp_path / 'runs'}: first what these runs measured, then the paper's other numbers."
    assert text.startswith(f"# Results beside the paper\n\n{about}\n\n## ")
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    assert [title for title in titles if title != report_page.CHART_TITLE] == re.findall(
        "^## (.*)$", text, re.MULTILINE
    )
    first, rest = titles[: titles.index(report_page.CHART_TITLE)], titles[titles.index(report_page.CHART_TITLE) + 1 :]
    assert {"Runs that fill no row of the paper", "Drawn images, no row of the paper: demo"} < set(first)
    assert "Proxy data set, no row of the paper: imagenette" in first
    assert {"Table 1: ILSVRC-2010, test", "Missing results, and the commands for them"} < set(rest)


def test_web_page_is_light_and_dark_and_fits_a_narrow_window(tmp_path: Path) -> None:
    html = report_page.to_html(report_page.ReportPage("a < b", [Table("t", ["x"], [["1"]])], []))
    for said in ('name="viewport"', "prefers-color-scheme: dark", "report-dark.png", "<h1>", "a &lt; b"):
        assert said in html
    assert html.count("<table>") == len(re.findall(r'<div class="wide" tabindex="0">\n<table>', html)) == 1


def test_counts_have_no_decimals_and_units_stand_in_the_header() -> None:
    parts = {table.title: table for table in paper_tables(make_rows([]))}
    windows = parts["OverFeat, Table 5: windows of the accurate network"].rows
    assert [cells[3:6] for cells in windows[:3]] == [["36", "36", "0"], ["12", "12", "0"], ["3 †", "3", "0"]]
    for rate, header in {None: ["million images"], 1000.0: ["million images", "hours"]}.items():
        missing = missing_rows(make_rows([]), rate)
        assert missing.header[2:] == header
        assert all(cell.replace(",", "").isdigit() or cell == "not known" for row in missing.rows for cell in row[2:])


def test_tables_state_what_each_interval_is_over(tmp_path: Path) -> None:
    for number, error in enumerate([41.0, 40.2]):
        write_test(tmp_path, f"cnn{number}", claim_test("table2.cnn"), error)
    write_test(tmp_path, "five", claim_test("table2.5cnns"), 38.3, 16.6)
    parts = paper_tables(make_rows(collect_tests([tmp_path])))
    shown = {cells[0]: cells[6] for part in parts for cells in part.rows if not cells[2].startswith("top-5")}
    assert (shown["1 CNN"], shown["5 CNNs"]) == ("2 runs", "images of 1 run")
    assert (shown["7 CNNs*"], shown["parameters"]) == ("", "")


def test_rows_name_the_metric_of_each_value(tmp_path: Path) -> None:
    write_test(tmp_path, "cnn0", claim_test("table2.cnn"), 41.0, 18.5)
    lines = [cells for part in paper_tables(make_rows(collect_tests([tmp_path]))) for cells in part.rows]
    assert [cells[:6] for cells in lines if cells[0] == "1 CNN"] == [
        ["1 CNN", "Table 2", "top-1 error, %", "40.7", "41.00 (40.57 to 41.43)", "+0.30"],
        ["1 CNN", "Table 2", "top-5 error, %", "18.2", "18.50 (18.16 to 18.84)", "+0.30"],
    ]
    metrics = {cells[0]: cells[2] for cells in lines}
    assert metrics["no color noise"] == "top-1 error, points"
    assert metrics["epochs to 25 % training error, tanh ÷ ReLU"] == "times"
    assert (metrics["epochs"], metrics["days of training"], metrics["neurons"]) == ("epochs", "days", "number")


def test_command_names_all_rows_that_it_measures() -> None:
    rows = {cells[1]: cells[0] for cells in missing_rows(make_rows([]), None).rows}
    assert rows["python -m alexnet_pl reproduce -c ilsvrc2010 data.root=FOLDER"] == (
        "CNN (Table 1); epochs (§6); days of training (§2, §6); iterations, with ÷ without dropout (§5.2)"
    )
    measurable = {f"{claim.label} ({claim.section})" for claim in CLAIMS if claim.recipe and claim.data}
    assert measurable == {name for names in rows.values() for name in names.split("; ")}


def test_latex_is_escaped_and_compiles_if_a_compiler_is_installed(tmp_path: Path) -> None:
    table = Table("50 % & more_of #it", ["a_b", "c"], [["1 % _x_ & $", "§4.2 …"]], ("a note: 5 % of {it}",))
    text = tables.to_latex([table])
    assert "50 \\% \\& more\\_of \\#it" in text
    assert "1 \\% \\_x\\_ \\& \\$" in text
    assert "a note: 5 \\% of \\{it\\}" in text
    assert text.isascii() or set(re.findall(r"[^\x00-\x7f]", text)) <= set("§…×²°")
    if not shutil.which("pdflatex"):
        pytest.skip("this machine has no pdflatex, which must accept the table")
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + text + "\\end{document}"
    (tmp_path / "t.tex").write_text(document)
    done = subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0


def test_qualitative_claims_have_no_number() -> None:
    without = {claim.key for claim in CLAIMS if any(map(math.isnan, claim.values.values()))}
    assert without == {"crops", "dropout", "without.conv5", "figure1.relu"}
