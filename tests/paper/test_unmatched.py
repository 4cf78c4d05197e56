"""Run folders that fill no row of the paper are all named."""

import json
from pathlib import Path

from made_results import claim_test, proxy_test, write_test

from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.evaluation.box_result import OUTCOMES, DetectionResult
from alexnet_pl.paper.box_results import BoxTestRun
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.paper.rows import make_rows
from alexnet_pl.paper.unmatched import collect_unmatched
from alexnet_pl.runs.records import DatasetInfo


def reasons(root: Path) -> dict[str, str]:
    tests = collect_tests([root])
    return {one.run.name: one.reason for one in collect_unmatched([root], tests, make_rows(tests), [])}


def write_fit(run: Path, **fields: object) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / "fit.json").write_text(json.dumps({"finished": True, "training": {}, "store": {}, **fields}))


def test_runs_of_measured_rows_are_left_out(tmp_path: Path) -> None:
    for key in ("table1.cnn", "dropout", "figure1.relu"):  # the first also counts epochs and days
        write_test(tmp_path, key, claim_test(key), 20.0)
    (tmp_path / "figure1.relu/metrics.csv").write_text("step,train/epoch_top1_error\n10,20\n")
    assert reasons(tmp_path) == {}


def test_ablation_without_its_baseline_is_named(tmp_path: Path) -> None:
    write_test(tmp_path, "norm0", claim_test("norm"), 42.0)
    write_test(tmp_path, "relu", claim_test("figure1.relu"), 42.0)
    assert reasons(tmp_path) == {
        "norm0": "a run of “no response normalization” (§4.3), but none of “1 CNN” with the same schedule.name to "
        "compare it with",
        "relu": "a run of “epochs to 25 % training error, ReLU” (Figure 1), but its files do not hold the number",
    }
    write_test(tmp_path, "cnn0", claim_test("table2.cnn"), 40.7)
    assert set(reasons(tmp_path)) == {"relu"}


def test_box_tests_are_named_with_their_split(tmp_path: Path) -> None:
    result = DetectionResult(
        task="detect",
        finished=True,
        dataset=DatasetInfo(name="scenes", split="val"),
        images=1,
        model={},
        window=77,
        boxes=BoxOptions("detect"),
        detect=DetectOptions(),
        map=12.0,
        mistakes=dict.fromkeys(OUTCOMES, 0),
    )
    write_fit(tmp_path / "a")
    (one,) = collect_unmatched([tmp_path], [], [], [BoxTestRun(tmp_path / "a", result)])
    assert (one.run.name, one.test) == ("a", "val")
    assert one.reason.startswith("detection on scenes")


def test_runs_without_a_test_are_named(tmp_path: Path) -> None:
    write_fit(tmp_path / "running", finished=False)
    write_fit(tmp_path / "untested")
    write_fit(tmp_path / "finetuned/pretrained")
    write_fit(tmp_path / "codes")
    write_fit(tmp_path / "boxes")
    for name in ("codes", "boxes"):
        (tmp_path / name / "results/val").mkdir(parents=True)
        (tmp_path / name / f"results/val/{name}.json").write_text("{}")
    write_fit(tmp_path / "corrupt", finished="perhaps")
    write_test(tmp_path, "tested0", proxy_test("table2.cnn"), 20.0)
    write_fit(tmp_path / "tested0", finished=False)
    found = reasons(tmp_path)
    assert list(found) == ["codes", "corrupt", "pretrained", "running", "tested0", "untested"]
    assert found["running"] == "the fit is not finished"
    assert found["untested"].startswith("not tested yet")
    assert found["pretrained"].startswith("the network that finetuned continues from; not tested yet")
    assert found["codes"].startswith("binary codes")
    assert "corrupt/fit.json: " in found["corrupt"]
    assert found["tested0"].startswith("data set imagenette")
