"""Runs on other images: which of them are compared with each other, and how."""

from pathlib import Path

import pytest
from made_results import claim_test, proxy_test, write_test
from scipy import stats

from alexnet_pl.evaluation.intervals import PAIRED, Difference
from alexnet_pl.figures import report_chart
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.paper.proxies import Comparison, group_proxies
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.paper.rows import make_rows
from alexnet_pl.reporting.measured_page import provenance_table
from alexnet_pl.reporting.proxy_tables import proxy_tables, verdict_notes


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
    statistics = stats.dunnett(worse, towers, same, control=base).statistic  # by the spread of all 12 that trained
    p_values = dict(zip(["norm", "towers", "overlap"], 2 * stats.t.sf(abs(statistics), 8), strict=True))
    p_values["dropout"] = stats.ttest_rel(dead, base).pvalue
    assert {key: found[key].ours["top1_error"].p for key in p_values} == pytest.approx(p_values)
    half = 4.0 / statistics[0] * stats.t.ppf(0.975, 8)
    assert found["norm"].ours["top1_error"][:4] == pytest.approx((4.0, 4.0 - half, 4.0 + half, 3))
    assert found["norm"].p == pytest.approx(4 * p_values["norm"]), "Holm: the second lowest of five"
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
    assert drawn == [f"{one.label} against CNN" for one in first.comparisons if one.claim.key != "dropout"]
    assert [one.label for one in first.errors[:3]] == ["CNN", "5 CNNs", "one GPU, half the kernels"]
    assert not second.comparisons, "one kind of network alone"


def test_names_with_commas_are_separated_by_semicolons(tmp_path: Path) -> None:
    for key in ("table2.cnn", "overlap", "towers"):
        for number, error in enumerate([20.0, 21.0, 20.5]):
            write_test(tmp_path, f"{key}{number}", proxy_test(key), error)
    (group,) = group_proxies(collect_tests([tmp_path]))
    (note,) = verdict_notes(group)
    names = note.removeprefix("Inconclusive: ").removesuffix(".").split("; ")
    assert sorted(names) == sorted(comparison.label for comparison in group.comparisons)
    assert len(names) == 2
    assert "," in note, "a name has one itself"


def test_tests_on_other_images_name_the_images_of_the_fit(tmp_path: Path) -> None:
    about = proxy_test("table2.cnn", name="imagenet_a", fingerprint="abc")
    about["trained"] = {**about["trained"], "store": {"name": "full", "fingerprint": "def", "train_images": 1_281_167}}
    about["dataset"] = {**about["dataset"], "train_images": 0}
    write_test(tmp_path, "cnn0", about, 20.0)
    (results,) = group_proxies(collect_tests([tmp_path]))
    assert "(store abc), trained on 1,281,167 (store def)" in results.conditions


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
    assert labels.count("biases start at the weights' learning rate") == 1, (
        "with the program's network, as another variant"
    )
    titles = [table.title for one in groups for table in proxy_tables(one)]
    assert len(set(titles)) == len(titles) == 7, "and one table of comparisons"


def test_copied_test_counts_once(tmp_path: Path) -> None:
    path = write_test(tmp_path, "a", claim_test("table2.cnn"), 40.0)
    copied = tmp_path / "b/results/val-ten/result.json"
    copied.parent.mkdir(parents=True)
    copied.write_text(path.read_text())
    assert len(collect_tests([tmp_path, tmp_path])) == 1


@pytest.mark.parametrize(
    ("points", "p", "verdict"),
    [(0.5, 0.001, "as in the paper in top-1"), (-0.5, 0.001, "opposite in top-1"), (0.5, 0.5, "inconclusive in top-1")],
)
def test_verdict_names_the_error_if_the_papers_two_have_opposite_signs(points: float, p: float, verdict: str) -> None:
    """OverFeat's four scales against ten crops: top-1 35.74 against 35.60 %, top-5 14.18 against 14.71 %."""
    scales, ten = BY_KEY["overfeat.accurate.4scales"], BY_KEY["overfeat.accurate.ten"]
    paper = {metric: scales.values[metric] - ten.values[metric] for metric in ERRORS}
    ours: dict[str, Difference] = dict.fromkeys(ERRORS, Difference(points, points - 0.1, points + 0.1, 3, p, PAIRED))
    assert Comparison(scales, ten, "a", "b", paper, ours, trained=True, p=p).verdict == verdict
    same = {metric: abs(value) for metric, value in paper.items()}
    assert Comparison(scales, ten, "a", "b", same, ours, trained=True, p=p).verdict == verdict.removesuffix(" in top-1")
