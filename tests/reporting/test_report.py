"""`report`: all formats say the same; corrupt records are left out and named."""

import csv
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from damages import REMOVED, with_value
from made_results import claim_test, proxy_test, write_test
from PIL import Image
from running import Compose, check_words

from alexnet_pl.commands.report import report
from alexnet_pl.errors import UserError
from alexnet_pl.figures import report_chart
from alexnet_pl.figures.style import LIGHT
from alexnet_pl.paper.claims import CLAIMS
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.paper.rows import make_rows
from alexnet_pl.reporting import report_page, tables
from alexnet_pl.reporting.missing_rows import missing_rows
from alexnet_pl.reporting.paper_tables import paper_tables
from alexnet_pl.table import Table, print_tables


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


def test_no_line_of_a_table_begins_with_the_percent_sign_of_a_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table("", ["ours, points (95 % interval)", "epochs to 25 % training error"], [["1 % of [2]", "a\nb 3 %"]])
    for width in range(24, 70):
        monkeypatch.setenv("COLUMNS", str(width))
        print_tables([table])
        cells = [cell.strip() for line in capsys.readouterr().out.splitlines() for cell in re.split("[│┃]", line)]
        assert not [cell for cell in cells if cell.startswith("%")], width
        assert {"1 % of [2]", "b 3 %"} <= {*cells} or width < 30


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
    assert lines[-1][0] == "no dropout (§5.2, ILSVRC-2010 test; no number in the paper)"
    figure = report_chart.draw_comparison_chart(make_rows([]), [], LIGHT)
    figure.draw_without_rendering()
    axis = figure.axes[-1]
    labels = axis.get_yticklabels()
    assert [label.get_text() for label in labels] == [label for label, _, _ in lines]
    frame = axis.get_window_extent()
    for label in labels:
        box = label.get_window_extent()
        assert frame.y0 < box.y0 < box.y1 < frame.y1, label.get_text()


def test_chart_mixes_no_data_sets_and_shows_where_zero_is(tmp_path: Path) -> None:
    """The error on Fall 2009, 67.4 %, is of 10,184 classes. Of the paper's differences the smallest is 0.4."""
    write_test(tmp_path, "cnn0", claim_test("table2.cnn"), 41.0)
    figure = report_chart.draw_comparison_chart(make_rows(collect_tests([tmp_path])), [], LIGHT)
    check_words(figure)
    panels = {axis.get_title(loc="left"): axis for axis in figure.axes}
    *names, differences = panels
    assert names == [
        f"Top-1 error on {name}, %" for name in ("ILSVRC-2010 test", "ILSVRC-2012 val", "Fall 2009", "CIFAR-10 test")
    ]
    low, high = panels[differences].get_xlim()
    assert low < 0 < high
    assert any(list(line.get_xdata()) == [0, 0] for line in panels[differences].lines)
    rows = {label.get_text(): label.get_position()[1] for label in panels[names[1]].get_yticklabels()}
    missing = {text.get_position()[1] for text in panels[names[1]].texts if text.get_text() == "not yet measured"}
    assert missing == set(rows.values()) - {rows["1 CNN (Table 2)"]}


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
    scrolling = r'<div class="wide" role="region" aria-label="t" tabindex="0">\n<table>'
    assert html.count("<table>") == len(re.findall(scrolling, html)) == 1


def test_web_page_aligns_numbers_to_the_right() -> None:
    html = report_page.html_table(Table('"t"', ["name", "error"], [["a", "1.5"], ["b", "10.5"]], align="lr"))
    assert re.findall(r'<td style="text-align: right;">\s*(\S+?)\s*</td>', html) == ["1.5", "10.5"]
    assert re.findall(r"<td>\s*(\S+?)\s*</td>", html) == ["a", "b"]
    assert 'aria-label="&quot;t&quot;"' in html


def test_web_page_shows_commands_as_code_and_has_one_landmark() -> None:
    table = Table("t", ["run", "reason"], [["a`b", "c`d"], ["a", "not tested; `test` does it"]], ["`report` <again>"])
    html = report_page.to_html(report_page.ReportPage("", [table], []))
    assert re.findall("<code>.*?</code>", html) == ["<code>test</code>", "<code>report</code>"]
    assert html.index("<main>") < html.index("<h1>") < html.index("&lt;again&gt;") < html.index("</main>")


def test_counts_have_no_decimals_and_units_stand_in_the_header() -> None:
    parts = {table.title: table for table in paper_tables(make_rows([]))}
    windows = parts["OverFeat, Table 5: windows of the accurate network"].rows
    assert [cells[3:6] for cells in windows[:3]] == [["36", "36", "0"], ["12", "12", "0"], ["3 †", "3", "0"]]
    for rate, header in {None: ["million images"], 1000.0: ["million images", "hours"]}.items():
        missing = missing_rows(make_rows([]), rate)
        assert missing.header[2:] == header
        assert not rate or missing.notes[0].startswith("Hours at 1,000 images/s: report.images_per_second, else"), (
            "which of the two it is, the table does not know"
        )
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
