"""Box tables: only equal settings and images match rows of the paper; corrupt files are named."""

import copy
import json
import shlex
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from alexnet_pl.commands.box_test import summarize_box_test
from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.config.identity import box_signature, training_signature
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.sources.official_sets import ILSVRC2012_CLASSES
from alexnet_pl.evaluation.box_result import BoxResult, DetectionResult, LocalisationResult
from alexnet_pl.evaluation.intervals import wilson_interval
from alexnet_pl.json_records import parse_record
from alexnet_pl.paper.box_claims import BOX_CLAIMS, LOCALISATION
from alexnet_pl.paper.box_matching import explain_box_mismatch, matches_box_claim
from alexnet_pl.paper.box_results import BoxTestRun, collect_box_tests
from alexnet_pl.reporting import terminal
from alexnet_pl.reporting.box_claim_tables import box_claim_tables
from alexnet_pl.reporting.box_page import boxes_page
from alexnet_pl.reporting.box_proxy_tables import box_proxy_tables


@cache
def signatures() -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings that fits of the two recipes record: the localiser's and its features'."""
    return box_signature(compose("overfeat_localise")), training_signature(compose("overfeat_accurate"))


PER_CLASS = "per class (44.1) instead of shared (31.3), scales not said; ours: four"


def make_test(*args: Any, **changed: Any) -> BoxTestRun:
    return BoxTestRun(Path("run"), parse(content(*args, **changed)), 2560)


def parse(found: dict[str, Any]) -> BoxResult:
    if found["task"] == "localise":
        return parse_record(found, LocalisationResult)
    kinds = dict.fromkeys(("right", "double", "badly placed", "wrong class", "background", "missed"), 3)
    return parse_record({"map": 12.0, "mistakes": kinds, **found}, DetectionResult)


def content(seed: int = 0, error: float = 30.5, **changed: Any) -> dict[str, Any]:
    """Content of boxes.json for the paper's own test. `changed`: values by path, such as training__optim__lr."""
    about = {"name": "x", "fingerprint": "f" * 64, "split": "val", "images": 50_000, "train_images": 1_281_167}
    training, features = copy.deepcopy(signatures())
    store = {"name": "ilsvrc2012", "classes": 1000, "images": 1_281_167, "encoding": "whole"}
    found: dict[str, Any] = {
        "task": "localise",
        "dataset": {**about, "classes": 1000, "class_list": ILSVRC2012_CLASSES, "size": 256, "encoding": "whole"},
        "model": {"net": "accurate", "width": 1.0},
        "window": 221,
        "seed": seed,
        "finished": True,
        "boxes": asdict(BoxOptions("localise")),
        "detect": {**asdict(DetectOptions()), "scales": [1, 2, 4, 6], "zoom": 1.0},
        "training": training,
        "trained": {"ended_by": "max_epochs", "store": {"fingerprint": "f" * 64}},
        "lineage": [{"store": store, "training": features, "finished": True, "ended_by": "schedule"}],
        "train_images_with_boxes": 544_546,
        "images": 50_000,
    }
    names = ("loc_error", "top5_error", "given_class_error", "constant_box_error", "constant_box_loc_error")
    found |= {name: error for name in names}
    for key, value in changed.items():
        *path, name = (int(word) if word.isdigit() else word for word in key.split("__"))
        for place in (found, training) if path == ["boxes"] else (found,):
            for word in path:
                place = place[word]
            place[name] = value
    return found


def test_top_5_error_of_five_classes_is_left_out() -> None:
    for classes, cell in {5: "", 6: "30.5"}.items():
        (table,) = box_proxy_tables([make_test(dataset__classes=classes, dataset__class_list="few")])
        shown = dict(zip(table.header, table.rows[0], strict=True))
        assert shown["top-5 error, %"].partition(" (")[0] == cell
        assert shown["localisation error, %"].startswith("30.5")


def test_summary_has_the_rule_and_the_result_without_the_blacklist() -> None:
    interval = {"loc_error_interval": [30.0, 31.0]}
    assert "blacklist" not in summarize_box_test(make_test(**interval).result)
    listed = make_test(**interval, loc_error_without_blacklist=29.0).result
    assert "localisation error 30.50 % (95 %: 30.00 to 31.00), 29.00 % without the blacklist" in summarize_box_test(
        listed
    )
    detected = make_test(task="detect", map_without_blacklist=0.0, detect__rule="voc2007").result
    assert "mAP 12.00 % (rule voc2007), 0.00 % without the blacklist" in summarize_box_test(detected)


def matching_labels(test: BoxTestRun) -> list[str]:
    return [claim.label for claim in BOX_CLAIMS if matches_box_claim(claim, test.result)]


def test_test_matches_the_rows_of_its_settings() -> None:
    assert matching_labels(make_test()) == ["all windows, four scales"]
    assert matching_labels(make_test(detect__scales=[1, 4])) == ["all windows, two scales"]
    assert matching_labels(make_test(boxes__per_class=True)) == [PER_CLASS]
    assert matching_labels(make_test(detect__scales=[1], detect__positions="center")) == [
        "shared regressor, one centered window"
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"dataset__images": 200},
        {"dataset__class_list": "other"},
        {"dataset__split": "train"},
        {"dataset__size": 461},
        {"dataset__size": None},
        {"lineage__0__store__encoding": "raw"},
        {"lineage__0__training__model__width": 0.25},
        {"lineage__0__training__augment__crop": 113},
        {"finished": False},
        {"task": "detect"},
        {"boxes__overlap": "iou"},
        {"detect__combine": "nms"},
        {"detect__zoom": 1.5},
        {"images": 49_000},
        {"dataset__train_images": 800},
        {"train_images_with_boxes": 800},
        {"boxes__scales": [1, 2, 4, 6]},
        {"training__optim__lr": 9.0},
        {"training__trainer__max_epochs": 1},
        {"training": None},
        {"trained__ended_by": "max_steps"},
        {"trained__store__fingerprint": "e" * 64},
        {"trained": None},
        {"lineage": []},
        {"lineage__0__training__model__init": "he"},
        {"lineage__0__training__model__net": "fast"},
        {"lineage__0__training": None},
        {"lineage__0__ended_by": "max_epochs"},
        {"lineage__0__store__images": 800},
        {"lineage__0__changed": True},
    ],
)
def test_other_images_networks_and_settings_match_no_row(changed: dict[str, Any]) -> None:
    assert matching_labels(make_test(**changed)) == []


def test_older_record_of_the_features_says_nothing_false() -> None:
    """A store has one encoding, so that the record of the test completes that of the features."""
    older = {"lineage__0__store__encoding": ""}
    same = make_test(**older, lineage__0__store__fingerprint="f" * 64)
    assert matching_labels(same) == ["all windows, four scales"]
    other = make_test(**older, lineage__0__store__fingerprint="e" * 64)
    assert matching_labels(other) == []
    assert "features of an older record, which does not say whether" in explain_box_mismatch(other.result)


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
    detector = make_test(task="detect", **small)
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


def test_tests_with_other_settings_are_not_averaged() -> None:
    """The search threshold and the rule of a positive window are in no label."""
    small = {"dataset__images": 200, "dataset__fingerprint": "a" * 64}
    tests = [
        make_test(seed=0, error=40.0, **small),
        make_test(seed=1, error=42.0, **small),
        make_test(seed=0, error=99.0, detect__threshold=9.0, **small),
        make_test(seed=2, error=90.0, boxes__overlap="iou", **small),
    ]
    rows = {row[0]: row[1] for row in box_proxy_tables(tests)[0].rows}
    label = "shared; all windows, scales 1, 2, 4, 6, merged"
    assert list(rows) == [label, f'{label}; boxes.overlap="iou"', f"{label}; detect.threshold=9"]
    assert [cell.split()[0] for cell in rows.values()] == ["41.0", "90.0", "99.0"]


def test_seeds_with_equal_values_have_an_interval_over_images() -> None:
    small = {"dataset__images": 200, "dataset__fingerprint": "a" * 64}
    tests = [make_test(seed=seed, constant_box_error=88.2, **small) for seed in (0, 1)]
    cell = box_proxy_tables(tests)[0].rows[0][4]
    low, high = wilson_interval(44_100, 50_000)
    assert cell == f"88.2 ({low:.1f} to {high:.1f})"


def test_regressors_of_other_scales_have_a_table_of_their_own() -> None:
    """They are not averaged as seeds of one way to train."""
    small, few = {"dataset__images": 200}, {"boxes__scales": [1, 4]}
    tables = box_proxy_tables([make_test(**small), make_test(1, **small, **few)])
    assert [table.rows[0][-1] for table in tables] == ["1", "1"]
    assert [", ".join(table.notes).count("at scales 1, 4,") for table in tables] == [0, 1]


def test_rows_of_the_paper_are_not_repeated_as_proxies() -> None:
    assert box_proxy_tables([make_test()]) == []
    assert len(box_proxy_tables([make_test(), make_test(dataset__images=200)])) == 1


def test_damaged_and_unfinished_tests_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = content()
    del unknown["finished"]
    for name, text in {
        "good": json.dumps(content()),
        "unknown": json.dumps(unknown),
        "open": json.dumps(content(finished=False)),
        "bad": '{"task": "localise"}',
        "images": json.dumps(content(images=None)),
        "error": json.dumps(content(error="30.5")),
        "mistakes": json.dumps(content(task="detect", map=12.0)),
    }.items():
        folder = tmp_path / name / "results/val"
        folder.mkdir(parents=True)
        (folder / "boxes.json").write_text(text)
    (test,) = collect_box_tests([tmp_path])
    assert test.run == tmp_path / "good"
    errors = capsys.readouterr().err
    names = {
        "unknown": "finished",
        "bad": "dataset",
        "images": "images",
        "error": "loc_error",
        "mistakes": "mistakes",
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
    assert list(terminal.missing_lines([], [make_test()])) == [f"4 of 5 rows: {LOCALISATION}"]
    assert list(terminal.missing_lines([], [])) == [f"5 of 5 rows: {LOCALISATION}"]


CLOSEST = "compared with “all windows, four scales” (§4.4)"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, ""),
        ({"dataset__images": 200}, "data set x; the paper's rows are on the 50,000 ILSVRC-2012 validation images"),
        ({"dataset__train_images": 800}, "800 training images, not 1,281,167"),
        ({"images": 49_000}, "tested on 49,000 of 50,000 images"),
        ({"train_images_with_boxes": 800}, "800 training images with boxes, not at least 500,000"),
        (
            {"training__optim__lr": 9.0, "lineage__0__training__model__init": "he"},
            f"{CLOSEST}: optim.lr=9.0, not 0.001; features with model.init=he, not normal",
        ),
        ({"trained__ended_by": "max_steps"}, f"{CLOSEST}: fit ended by max_steps, not by trainer.max_epochs"),
        ({"trained__epochs": 999}, f"{CLOSEST}: trained for 999 epochs, not trainer.max_epochs="),
        ({"finished": False}, f"{CLOSEST}: the fit is not finished, or was resumed with other settings"),
        ({"lineage__0__training": None}, f"{CLOSEST}: features of an unfinished or imported network"),
        ({"lineage": []}, f"{CLOSEST}: features of no run"),
        ({"lineage__0__ended_by": "max_steps"}, f"{CLOSEST}: features of a fit of overfeat_accurate that ended"),
        ({"task": "detect"}, "detection on x; the paper's rows are not reproducible from the text"),
        ({"detect__combine": "nms"}, f"{CLOSEST}: detect.combine=nms, not merge"),
    ],
)
def test_tests_that_match_no_row_have_a_reason(changed: dict[str, Any], says: str) -> None:
    reason = explain_box_mismatch(make_test(**changed).result)
    assert reason.startswith(says)
    assert bool(reason) == (not matching_labels(make_test(**changed)))


def test_difference_of_a_pair_is_of_runs_with_the_same_seed() -> None:
    """The paper's 44.1 and 31.3 are a pair, so ours is a difference too, not a value beside each."""
    shared = [make_test(seed, error) for seed, error in enumerate((30.0, 31.0, 50.0))]
    per_class = [make_test(seed, error, boxes__per_class=True) for seed, error in ((0, 40.0), (1, 42.0), (7, 90.0))]
    rows = {row[0]: row[2:] for row in box_claim_tables([*shared, *per_class])[0].rows}
    assert rows[PER_CLASS] == ["+12.8 points", "+10.5 points (+4.1 to +16.9)"]
    rows = {row[0]: row[2:] for row in box_claim_tables([shared[0], per_class[0]])[0].rows}
    assert rows[PER_CLASS][1] == "+10.0 points"
    rows = {row[0]: row[2:] for row in box_claim_tables([shared[0], per_class[2]])[0].rows}
    assert rows[PER_CLASS][1] == "not yet measured"
    assert explain_box_mismatch(per_class[0].result, [test.result for test in shared]) == ""
    assert explain_box_mismatch(per_class[2].result, [test.result for test in shared]) == (
        f"a run of “{PER_CLASS}” (§4.4), but none of “all windows, four scales” with its seed"
    )


def test_page_in_a_run_folder_has_no_link_to_the_docs() -> None:
    page = boxes_page(box_claim_tables([]))
    assert "the tutorial (docs/tutorials/boxes.md) explains" in page
    assert "](" not in page


def test_every_reproducible_row_has_a_command() -> None:
    for claim in BOX_CLAIMS:
        if not claim.reason_unmeasured:
            assert claim.group == LOCALISATION
            words = shlex.split(claim.command)
            assert words[:5] == ["python", "-m", "alexnet_pl", "reproduce", "-c"]
            cfg: Any = OmegaConf.to_container(compose(words[5], words[6:]), resolve=True)
            cfg["detect"]["zoom"] = 1.0
            changed = {f"{part}__{key}": value for part in ("boxes", "detect") for key, value in cfg[part].items()}
            assert matches_box_claim(claim, make_test(**changed).result)
            assert {cfg["data"]["root"], cfg["transfer"]["weights"]} == {"FOLDER", "RUN"}
