"""`report` on the terminal for a few runs: what they measured, why others fill no row, how many rows are missing."""

import csv
import json
from pathlib import Path

import pytest
from made_results import claim_test, proxy_test, write_test
from running import Compose

from alexnet_pl.commands.report import report
from alexnet_pl.paper.box_claims import BOX_CLAIMS
from alexnet_pl.paper.claims import CLAIMS


@pytest.fixture
def printed(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Output of `report` on a run of Table 2, two proxy runs and a short run, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    short = claim_test("table2.cnn")
    short["training"]["trainer"]["max_epochs"] = 2
    made = {
        "cnn0": (claim_test("table2.cnn"), 40.6),
        "nette0": (proxy_test("table2.cnn"), 20.0),
        "norm0": (proxy_test("norm"), 22.0),
        "short0": (short, 55.0),
    }
    for name, (about, error) in made.items():
        write_test(tmp_path / "runs", name, about, error, 18.1)
    report(config("_base", "report.runs=runs"), tmp_path / "out")
    return capsys.readouterr().out


def test_measured_rows_come_first_and_missing_ones_are_counted(printed: str) -> None:
    parts = [part.splitlines() for part in printed.split("\n\n")]
    assert [part[0] for part in parts] == [
        "Table 2: ILSVRC-2012",
        "Networks and tests without a row of the paper, on its images: ilsvrc2012",
        "Proxy data set, no row of the paper: imagenette",
        "The paper's comparisons on imagenette",
        "Runs that fill no row of the paper",
        "Rows of the paper that are not yet measured; out/report.md lists every row, with its command",
        "4 tests; report.md, .tex, .html, .csv and .png",
    ]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in parts[0] if line.startswith("│")]
    assert [" ".join(filter(None, column)) for column in zip(*rows, strict=True)] == [
        "1 CNN 1 CNN",
        "Table 2 Table 2",
        "top-1 error, % top-5 error, %",
        "40.7 18.2",
        "40.60 (40.17 to 41.03) 18.10 (17.76 to 18.44)",
        "-0.10 -0.10",
        "images of 1 run images of 1 run",
    ]
    assert parts[4][1:] == [
        "nette0, norm0: data set imagenette; the paper's rows are on ilsvrc2010, ilsvrc2012, fall2009 and cifar10",
        "short0: compared with “1 CNN” (Table 2): trainer.max_epochs=2, not 91",
    ]
    assert parts[5][1:] == [
        "2 of 2 rows: Table 1: ILSVRC-2010, test",
        "3 of 4 rows: Table 2: ILSVRC-2012",
        "1 of 1 row: Fall 2009",
        "10 of 10 rows: What each part brings",
        "3 of 3 rows: The network and its training",
        "4 of 4 rows: CIFAR-10",
        "8 of 8 rows: OverFeat, Table 2: ILSVRC-2012, val",
        "5 of 5 rows: OverFeat: localisation, top-5 error",
    ]
    tables = [line for line in printed.splitlines() if line[:1] in ("│", "┃", "┏")]
    assert max(map(len, tables)) <= 80


def test_page_and_csv_have_every_row(printed: str, tmp_path: Path) -> None:
    page = (tmp_path / "out/report.md").read_text()
    assert "python -m alexnet_pl" not in printed
    for claim in CLAIMS:
        assert page.count(f"| {claim.label} ") >= len(claim.values), claim.key
        assert not claim.recipe or f"-c {claim.recipe} " in page or claim.data is None
    assert all(f"| {claim.label} " in page and claim.command in page for claim in BOX_CLAIMS if claim.boxes)
    assert page.count("not yet measured") > 50
    assert "| short0 | val, ten | compared with “1 CNN” (Table 2): trainer.max_epochs=2, not 91 " in page
    with (tmp_path / "out/report.csv").open(newline="") as file:
        lines = [(line["row"], line["metric"]) for line in csv.DictReader(file)]
    assert {(claim.label, metric) for claim in CLAIMS for metric in claim.values} <= set(lines)


def test_run_that_was_trained_on_after_its_test_is_named(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    about = proxy_test("table2.cnn")
    about["trained"] = {**about["trained"], "steps": 1}
    for name, steps in {"same0": 1, "later0": 3}.items():
        run = write_test(tmp_path / "runs", name, about, 20.0).parents[2]
        fit = {"finished": True, "training": about["training"], "store": {}, "steps": steps}
        (run / "fit.json").write_text(json.dumps(fit))
    report(config("_base", "report.runs=runs"), tmp_path / "out")
    assert capsys.readouterr().err == (
        "runs/later0: the test is of step 1, before the last training; "
        "python -m alexnet_pl test runs/later0 tests again\n"
    )


def test_a_folder_without_runs_says_what_to_do(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    report(config("_base"), tmp_path / "out")
    said = capsys.readouterr().out
    assert said.startswith("No runs found: pass report.runs=FOLDER, or make a run: python -m alexnet_pl")
    (tmp_path / "runs/begun").mkdir(parents=True)
    (tmp_path / "runs/begun/fit.json").write_text('{"finished": false, "training": {}, "store": {}}')
    report(config("_base"), tmp_path / "out")
    said = capsys.readouterr().out
    assert said.startswith(
        "No row of the paper is measured by these runs.\n\nRuns that fill no row of the paper\nbegun: "
    )
