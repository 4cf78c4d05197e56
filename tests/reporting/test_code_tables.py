"""Tables, curves and pages of short codes (§7.1) from the codes.json of several runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from code_runs import UNTRAINED, code_config, make_network, read_result
from omegaconf import DictConfig
from running import Compose, check_words, last, run

from alexnet_pl.errors import UserError
from alexnet_pl.figures.code_curves import Curves, collect_curves, draw_code_curves, picture_codes
from alexnet_pl.figures.style import THEMES
from alexnet_pl.json_records import JsonObject
from alexnet_pl.reporting.code_tables import HEADER, code_report, code_table, codes_page, collect_codes
from alexnet_pl.table import to_markdown

KEPT = Path(__file__).parents[2] / "docs/data/evidence/codes"


@pytest.fixture
def cfg(config: Compose, tmp_path: Path) -> DictConfig:
    return code_config(config, make_network(tmp_path / "net"))


def test_table_has_a_row_per_method_and_number_of_bits(cfg: DictConfig, tmp_path: Path) -> None:
    for name, keys in {"a": {"bits": 12}, "b": {"bits": 20}, "c": {"layer": "pixels"}}.items():
        given = cfg.copy()
        given.codes.update(keys)
        run(given, "reproduce", tmp_path / f"runs-{name}")
    (table,) = map(code_table, collect_codes([tmp_path]))
    assert table.header == HEADER
    assert [row[:2] for row in table.rows] == [
        ["float vectors of fc7, exact", ""],
        ["float raw pixels, exact", ""],
        ["auto-encoder on fc7", "12"],
        ["PCA of fc7, signs", "12"],
        ["random projections of fc7, signs", "12"],
        ["auto-encoder on raw pixels", "12"],
        ["auto-encoder on fc7", "20"],
        *([method, "20"] for method in UNTRAINED),
    ]
    row = next(row for row in read_result(tmp_path / "runs-a")["rows"] if row["method"] == "auto-encoder on fc7")
    value = row["precision_6"]
    assert f"{value['mean']:.1f} ± {(value['high'] - value['low']) / 2:.1f}" in table.rows[2]
    assert len(table.title) < 80, "a heading"
    assert "40 of 40 val images as queries against 160" in to_markdown([table])


def test_several_seeds_give_an_interval_over_runs(cfg: DictConfig, tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        run(cfg, "reproduce", tmp_path / f"runs-{seed}", seed=seed)
    (table,) = map(code_table, collect_codes([tmp_path]))
    cells = {row[0]: row[2] for row in table.rows}
    means = [
        next(
            row["recall_6"]["mean"] for row in read_result(tmp_path / f"runs-{seed}")["rows"] if "auto" in row["method"]
        )
        for seed in (0, 1, 2)
    ]
    assert cells["auto-encoder on fc7"].startswith(f"{np.mean(means):.1f} ± ")
    assert cells["auto-encoder on fc7"].endswith("3 seeds")
    assert "seeds" not in cells["PCA of fc7, signs"]


def test_neighbor_loss_has_its_own_row_and_curve(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "reproduce", tmp_path / "without")
    given = cfg.copy()
    given.codes.neighbors = 1.0
    run(given, "reproduce", tmp_path / "with")
    (tests,) = collect_codes([tmp_path])
    methods = [row[0] for row in code_table(tests).rows]
    assert methods[1:3] == ["auto-encoder on fc7, neighbor loss", "auto-encoder on fc7"]
    curves = collect_curves(tests)
    assert {method for method, _ in curves} == set(methods)
    nearest = curves["float vectors of fc7, exact", None]["nearest"]
    assert nearest["precision"][nearest["ranks"].index(100)] == 100
    assert nearest["recall"][-1] == 100
    for theme in THEMES:
        check_words(draw_code_curves(curves, theme))
    for axes in draw_code_curves({**curves, **other_bits(curves, 20)}, THEMES[0]).axes:
        assert axes.get_ylim()[1] >= max(max(np.asarray(line.get_ydata())) for line in axes.get_lines())
    with pytest.raises(UserError, match=r"codes.neighbors: the run in .* was started with other values"):
        run(given, "reproduce", tmp_path / "without")


def other_bits(curves: Curves, bits: int) -> Curves:
    """The same curves for another number of bits, with twice the precision."""
    return {
        (method, bits): {
            kind: {**one, "precision": [2 * value for value in one["precision"]]} for kind, one in kinds.items()
        }
        for (method, size), kinds in curves.items()
        if size
    }


def test_tests_without_curves_have_a_table_and_no_picture(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "reproduce", tmp_path / "codes")
    path = tmp_path / "codes/results/val-codes/codes.json"
    old = json.loads(path.read_text())
    del old["codes"]["neighbors"]
    path.write_text(
        json.dumps(old | {"rows": [{k: v for k, v in row.items() if k != "curves"} for row in old["rows"]]})
    )
    groups = collect_codes([tmp_path])
    assert picture_codes(groups) == [""]
    page = codes_page(groups, picture_codes(groups))
    assert "auto-encoder on fc7" in page
    assert "Precision and recall" not in page


def test_page_says_which_queries_the_curves_are_of(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "reproduce", tmp_path / "codes")
    path = tmp_path / "codes/results/val-codes/codes.json"
    queries = json.loads(path.read_text())["queries"]
    assert f"over {queries} queries, drawn at random, if" in codes_page(collect_codes([tmp_path]), ["picture"])
    older = json.loads(path.read_text())
    del older["curve_queries"]
    path.write_text(json.dumps(older))
    said = codes_page(collect_codes([tmp_path]), ["picture"])
    assert f"over the first {queries} queries, images of a few classes, if" in said


def test_curves_of_random_queries_alone_are_drawn(cfg: DictConfig, tmp_path: Path) -> None:
    """Those of older tests are of other images."""
    run(cfg, "reproduce", tmp_path / "codes")
    ((test,),) = collect_codes([tmp_path])
    older, new = (
        replace(test, seed=seed, curve_queries=queries, rows=[{**row, "curves": {"class": seed}} for row in test.rows])
        for seed, queries in ((0, 0), (1, test.curve_queries))
    )
    assert collect_curves([older, new]) == collect_curves([new]) != collect_curves([older])


def test_older_spelling_of_a_method_is_read(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.codes.neighbors = 0.5
    run(cfg, "reproduce", tmp_path / "codes")
    (tests,) = collect_codes([tmp_path])
    path = tmp_path / "codes/results/val-codes/codes.json"
    text = path.read_text().replace(", neighbor loss", ", neighbour loss")  # codespell:ignore neighbour
    path.write_text(text)
    (older,) = collect_codes([tmp_path])
    assert code_table(older).rows == code_table(tests).rows
    assert draw_code_curves(collect_curves(older), THEMES[0]).axes


def copy_test(run: Path) -> Path:
    """Copy a kept codes.json into a run folder."""
    path = run / "results/val-codes/codes.json"
    path.parent.mkdir(parents=True)
    shutil.copy(next(KEPT.glob("*/results/*/codes.json")), path)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"curves": 5}, "corrupt (curves of float vectors"),
        ({"curves": {"nearest": {}}}, "corrupt (curves of float vectors"),
        ({"curves": {"nearest": {"ranks": [1], "precision": [1], "recall": []}}}, "corrupt (curves of float vectors"),
        ({"method": None}, "corrupt (rows.0.method"),
        ({"method": "magic"}, "method 'magic' is unknown to this version"),
        ({"method": "PCA of fc7, signs × much"}, "is unknown to this version"),
        ({"bits": "64"}, "corrupt (rows.0.bits"),
        ({"recall_6": {"mean": 3}}, "corrupt (rows.0.recall_6.low: missing"),
    ],
)
def test_damaged_rows_are_named_and_other_runs_kept(
    tmp_path: Path, change: JsonObject, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_test(tmp_path / "whole")
    path = copy_test(tmp_path / "damaged")
    record = json.loads(path.read_text())
    record["rows"][0] |= change
    path.write_text(json.dumps(record))
    (tests,) = collect_codes([tmp_path])
    assert len(tests) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"skipped: {path}: ")
    assert says in line


def test_tags_in_a_dataset_name_are_text_in_a_notebook(tmp_path: Path) -> None:
    path = copy_test(tmp_path / "codes")
    record = json.loads(path.read_text())
    record["dataset"]["name"] = "<img src=x onerror=alert(1)>"
    path.write_text(json.dumps(record))
    assert "&lt;img src=x onerror=alert(1)&gt;, network of" in (page := code_report(tmp_path))
    assert "<" not in page


def test_auto_encoders_of_other_shapes_have_their_own_table(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "reproduce", tmp_path / "a")
    cfg.codes.hidden = [8, 8]
    run(cfg, "reproduce", tmp_path / "b")
    groups = collect_codes([tmp_path])
    assert ["hidden layers of 16 units" in str(code_table(tests).notes) for tests in groups] == [True, False]
    assert picture_codes(groups)[1].count("codes-2") == 2


def test_older_record_without_training_is_averaged_with_newer_ones(cfg: DictConfig, tmp_path: Path) -> None:
    for seed in (0, 1):
        cfg.seed = seed
        run(cfg, "reproduce", tmp_path / f"{seed}")
    path = tmp_path / "0/results/val-codes/codes.json"
    older = json.loads(path.read_text())
    del older["training"]
    path.write_text(json.dumps(older))
    assert [len(tests) for tests in collect_codes([tmp_path])] == [2]


def test_fits_of_other_length_are_not_averaged_and_other_checkpoints_are_not_finished(
    cfg: DictConfig, tmp_path: Path
) -> None:
    run(cfg, "reproduce", tmp_path / "a")
    cfg.seed = 7  # of a command that tests the network of seed 0
    cfg.ckpt_path = str(last(tmp_path / "a"))
    run(cfg, "test", tmp_path / "a", last(tmp_path / "a"))
    (tested,) = collect_codes([tmp_path])[0]
    assert tested.seed == 0
    cfg.trainer.max_epochs = 4
    run(cfg, "reproduce", tmp_path / "b")
    assert [len(tests) for tests in collect_codes([tmp_path])] == [1, 1]
