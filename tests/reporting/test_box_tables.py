"""Box tables: only equal settings and images match rows of the paper; corrupt files are named."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.sources.official_sets import ILSVRC2012_CLASSES
from alexnet_pl.paper.box_claims import (
    BOX_CLAIMS,
    LOCALISATION,
    explain_box_mismatch,
    matches_box_claim,
)
from alexnet_pl.reporting import terminal
from alexnet_pl.reporting.box_tables import box_claim_tables, box_proxy_tables, collect_box_tests


def make_test(seed: int = 0, error: float = 30.5, **changed: Any) -> dict[str, Any]:
    """Content of boxes.json for the paper's own test."""
    about = {"name": "x", "fingerprint": "f" * 64, "split": "val", "images": 50_000, "train_images": 544_546}
    found: dict[str, Any] = {
        "task": "localise",
        "dataset": {**about, "classes": 1000, "class_list": ILSVRC2012_CLASSES},
        "model": {"net": "accurate", "width": 1.0},
        "window": 221,
        "seed": seed,
        "finished": True,
        "boxes": asdict(BoxOptions("localise")),
        "detect": {**asdict(DetectOptions()), "scales": [1, 2, 4, 6], "zoom": 1.0},
        "images_seen": 2560,
        "images": 50_000,
    }
    names = ("loc_error", "top5_error", "given_class_error", "constant_box_error", "constant_box_loc_error")
    found |= {name: error for name in names}
    for key, value in changed.items():
        section, _, name = key.partition("__")
        if name:
            found[section] = {**found[section], name: value}
        else:
            found[section] = value
    return found


def test_top_5_error_of_five_classes_is_left_out() -> None:
    for classes, cell in {5: "", 6: "30.5"}.items():
        (table,) = box_proxy_tables([make_test(dataset__classes=classes, dataset__class_list="few")])
        shown = dict(zip(table.header, table.rows[0], strict=True))
        assert shown["top-5 error, %"].partition(" (")[0] == cell
        assert shown["localisation error, %"].startswith("30.5")


def matching_labels(test: dict[str, Any]) -> list[str]:
    return [claim.label for claim in BOX_CLAIMS if matches_box_claim(claim, test)]


def test_test_matches_the_rows_of_its_settings() -> None:
    assert matching_labels(make_test()) == ["all windows, four scales", "shared by all classes, scales not said"]
    assert matching_labels(make_test(detect__scales=[1, 4])) == ["all windows, two scales"]
    assert matching_labels(make_test(boxes__per_class=True)) == ["per class, scales not said"]
    assert matching_labels(make_test(detect__scales=[1], detect__positions="center")) == [
        "shared regressor, one centered window"
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"dataset__images": 200},
        {"dataset__class_list": "other"},
        {"dataset__split": "train"},
        {"model__width": 0.25},
        {"window": 113},
        {"finished": False},
        {"task": "detect"},
        {"boxes__overlap": "iou"},
        {"detect__combine": "nms"},
        {"detect__zoom": 1.5},
    ],
)
def test_other_images_networks_and_settings_match_no_row(changed: dict[str, Any]) -> None:
    assert matching_labels(make_test(**changed)) == []


def test_rows_have_the_papers_numbers_and_mark_unmeasured_ones() -> None:
    rows = {row[0]: row for row in box_claim_tables([])[0].rows}
    assert rows["all windows, four scales"][2:4] == ["30.0", "not yet measured"]
    assert rows["all windows, six scales"][2] == "not printed"
    assert rows["ILSVRC-2013 test, four scales, shared"][2:4] == ["29.9", "test server only"]
    assert rows["VGG (2013), test"][2] == "46.4 †"
    detection = {row[0]: row for row in box_claim_tables([])[1].rows}
    assert detection["after the competition, with context, test"][2:4] == ["24.3", "not reproducible from the text"]


def test_result_is_the_mean_over_seeds() -> None:
    rows = {
        row[0]: row for row in box_claim_tables([make_test(0, 30.0), make_test(1, 31.0), make_test(1, 31.0)])[0].rows
    }
    assert rows["all windows, four scales"][3] == "30.5 (24.1 to 36.9)"
    assert rows["all windows, two scales"][3] == "not yet measured"


def test_other_images_have_separate_tables() -> None:
    small = {"dataset__images": 200, "dataset__fingerprint": "a" * 64}
    kinds = dict.fromkeys(("right", "double", "badly placed", "wrong class", "background", "missed"), 3)
    detector = make_test(task="detect", **small) | {"map": 12.0, "mistakes": kinds}
    tables = box_proxy_tables(
        [make_test(**small), make_test(1, **small), make_test(detect__combine="nms", **small), detector]
    )
    localiser, detection = tables
    assert localiser.title.startswith("Localisation, no row of the paper")
    assert [row[0] for row in localiser.rows] == [
        "shared; all windows, scales 1, 2, 4, 6, merged",
        "shared; all windows, scales 1, 2, 4, 6, suppression",
    ]
    assert [row[-2:] for row in localiser.rows] == [["2,560 windows", "2"], ["2,560 windows", "1"]]
    assert detection.rows[0][1] == "12.0"
    assert detection.rows[0][2:] == ["3"] * 6 + ["2,560 images", "1"]


def test_rows_of_the_paper_are_not_repeated_as_proxies() -> None:
    assert box_proxy_tables([make_test()]) == []
    assert len(box_proxy_tables([make_test(), make_test(dataset__images=200)])) == 1


def test_damaged_and_unfinished_tests_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = make_test()
    del unknown["finished"]
    for name, text in {
        "good": json.dumps(make_test()),
        "unknown": json.dumps(unknown),
        "open": json.dumps(make_test(finished=False)),
        "bad": '{"task": "localise"}',
        "split": json.dumps(make_test(dataset__split=None)),
        "images": json.dumps(make_test(images=None)),
        "error": json.dumps(make_test(error="30.5")),
        "mistakes": json.dumps(make_test(task="detect", map=12.0)),
    }.items():
        folder = tmp_path / name / "results/val"
        folder.mkdir(parents=True)
        (folder / "boxes.json").write_text(text)
    (test,) = collect_box_tests([tmp_path])
    assert test["folder"] == tmp_path / "good"
    errors = capsys.readouterr().err
    keys = ("dataset.split", "images", "loc_error", "mistakes")
    names = {
        "unknown": "finished",
        "bad": "dataset",
        **dict(zip(("split", "images", "error", "mistakes"), keys, strict=True)),
    }
    lines = {Path(line.split(": ")[1]).parents[2].name: line for line in errors.splitlines()}
    assert lines.keys() == names.keys()
    assert all(f"({key}: " in lines[name] for name, key in names.items())


def test_missing_rows_have_their_commands() -> None:
    missing = box_claim_tables([make_test()])[2]
    claims = [claim for claim in BOX_CLAIMS if not claim.reason_unmeasured]
    measured = matching_labels(make_test())
    assert missing.rows == [[claim.label, claim.command] for claim in claims if claim.label not in measured]
    assert len(box_claim_tables([])[2].rows) == len(claims) > len(missing.rows)


def test_terminal_shows_measured_rows_and_counts_the_others() -> None:
    (table,) = terminal.measured_paper_tables([], [make_test(), make_test(dataset__images=200)])
    assert [row[0] for row in table.rows] == matching_labels(make_test())
    assert list(terminal.missing_lines([], [make_test()])) == [f"4 of 6 rows: {LOCALISATION}"]
    assert list(terminal.missing_lines([], [])) == [f"6 of 6 rows: {LOCALISATION}"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, ""),
        ({"dataset__images": 200}, "data set x; the paper's rows are on the 50,000 ILSVRC-2012 validation images"),
        ({"model__width": 0.25}, "the network is not the accurate one of OverFeat"),
        ({"window": 113}, "the network is not the accurate one of OverFeat"),
        ({"task": "detect"}, "detection on x; the paper's rows are not reproducible from the text"),
        ({"detect__combine": "nms"}, "settings of `boxes` or `detect` that no row has"),
    ],
)
def test_tests_that_match_no_row_have_a_reason(changed: dict[str, Any], says: str) -> None:
    reason = explain_box_mismatch(make_test(**changed))
    assert reason.startswith(says)
    assert bool(reason) == (not matching_labels(make_test(**changed)))


def test_every_reproducible_row_has_a_command_that_measures_it() -> None:
    for claim in BOX_CLAIMS:
        if not claim.reason_unmeasured:
            assert claim.group == LOCALISATION
            words = shlex.split(claim.command)
            assert words[:5] == ["python", "-m", "alexnet_pl", "reproduce", "-c"]
            cfg: Any = OmegaConf.to_container(compose(words[5], words[6:]), resolve=True)
            assert matches_box_claim(claim, make_test(boxes=cfg["boxes"], detect={**cfg["detect"], "zoom": 1.0}))
            assert {cfg["data"]["root"], cfg["transfer"]["weights"]} == {"FOLDER", "RUN"}
