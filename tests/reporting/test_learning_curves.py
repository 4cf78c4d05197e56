"""Learning-curve tables against a run's own files."""

import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from spaces import single_spaces

from alexnet_pl.commands import dispatch, registry
from alexnet_pl.errors import UserError
from alexnet_pl.reporting.learning_curves import learning_curves

METRICS = """step,train/images_per_second,train/loss,val/top1_error,val/top5_error
10,100.0,2.3,,
20,300.0,2.0,,
20,,,71.25,30.5
40,110.0,1.9,,
40,,,50.004,12.0
"""


def curves(words: list[str]) -> None:
    dispatch.run_on_folders(registry.find("curves"), words)


def make_run(folder: Path, name: str, metrics: str = METRICS) -> Path:
    run = folder / name
    run.mkdir()
    (run / "metrics.csv").write_text(metrics)
    session = {
        "time": "now",
        "command": "fit",
        "argv": [],
        "store": {"name": "tiny", "fingerprint": "0123456789abcdef"},
        "gpus": [],
        "cpus": 2,
        "precision": "bf16-mixed",
        "commit": "f" * 40,
        "changed_files": [],
    }
    (run / "provenance.json").write_text(json.dumps({"sessions": [session]}))
    return run


def test_runs_are_side_by_side_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    longer = METRICS + "60,,,40.0,9.0\n"
    curves([str(make_run(tmp_path, "a")), str(make_run(tmp_path, "b", longer))])
    lines = single_spaces(capsys.readouterr().out).splitlines()
    assert lines[0] == "- `a`: tiny (0123456789ab), 2 CPU cores, bf16-mixed, 110 images/s, commit ffffffffff"
    assert lines[3:] == [
        "#### Validation, center view",
        "",
        "| step | a top-1 error % | a top-5 error % | b top-1 error % | b top-5 error % |",
        "|---:|---:|---:|---:|---:|",
        "| 20 | 71.25 | 30.50 | 71.25 | 30.50 |",
        "| 40 | 50.00 | 12.00 | 50.00 | 12.00 |",
        "| 60 | | | 40.00 | 9.00 |",
    ]


def test_tags_in_names_are_text_in_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, "<svg onload=alert(1)>")
    (run / "provenance.json").write_text((run / "provenance.json").read_text().replace("tiny", "<script>"))
    curves([str(run)])
    page = capsys.readouterr().out
    assert "<" not in page + learning_curves([run])
    assert "&lt;script&gt; (0123456789ab)" in page
    assert "&lt;svg onload=alert(1)&gt; top-1 error %" in page


def test_links_in_names_are_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, "`[run](x)`")
    link = "[mail](https://host) ![x](//y)\\n# z"
    (run / "provenance.json").write_text((run / "provenance.json").read_text().replace("tiny", link))
    dataset = {"name": "[mail](https://host)", "split": "val", "images": 2}
    found = {"dataset": dataset, "checkpoint": {"sha256": "s"}, "images": 2, "views": "`ten", "top1_error": 16.2}
    (run / "result.json").write_text(json.dumps(found | {"top1_error_interval": [1, 18], "top5_error": 0.4}))
    curves([str(run)])
    html = MarkdownIt().enable("table").render(capsys.readouterr().out)
    assert re.findall("<code>(.*?)</code>", html) == ["'[run](x)'"]
    assert not re.findall("<(?:a|img|h1)[ >]", html)
    assert "[mail](https://host) val" in html


def test_tested_run_shows_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, "a")
    found = {
        "dataset": {"name": "tiny", "split": "val", "images": 2000},
        "checkpoint": {"sha256": "s", "step": 60},
        "images": 1000,
        "views": "ten",
        "top1_error": 16.2,
    }
    (run / "result.json").write_text(json.dumps({**found, "top1_error_interval": [14.1, 18.6], "top5_error": 0.4}))
    curves([str(run)])
    said = single_spaces(capsys.readouterr().out)
    assert "| a, step 60 | tiny val | 1,000 of 2,000 | ten | 16.20 (14.10 to 18.60) | 0.40 |" in said


def test_top_5_errors_of_five_classes_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few, many = make_run(tmp_path, "few"), make_run(tmp_path, "many")
    for run, classes in {few: 5, many: 6}.items():
        fit = {"finished": True, "training": {}, "store": {"classes": classes}, "changed": False}
        (run / "fit.json").write_text(json.dumps(fit))
        found = {"dataset": {"classes": classes}, "checkpoint": {"sha256": "s"}, "images": 10, "views": "ten"}
        (run / "result.json").write_text(json.dumps({**found, "top1_error": 16.2, "top5_error": 0.0}))
    curves([str(few), str(many)])
    lines = single_spaces(capsys.readouterr().out).splitlines()
    assert lines[5:9] == [
        "| step | few top-1 error % | many top-1 error % | many top-5 error % |",
        "|---:|---:|---:|---:|",
        "| 20 | 71.25 | 71.25 | 30.50 |",
        "| 40 | 50.00 | 50.00 | 12.00 |",
    ]
    few_row, many_row = lines[-2:]
    assert few_row.endswith(") | |"), few_row
    assert many_row.endswith(") | 0.00 |"), many_row


def test_run_too_short_for_a_rate_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curves([str(make_run(tmp_path, "a", "step,val/top1_error,val/top5_error\n3,84.5,50.0\n"))])
    said = single_spaces(capsys.readouterr().out)
    assert "2 CPU cores, bf16-mixed, images/s not logged, commit" in said
    assert "| 3 | 84.50 | 50.00 |" in said


def test_runs_below_a_folder_are_found_and_named_by_their_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run's own pre-training is not asked for where the run itself is given."""
    for name in ("sweep", "sweep/a", "sweep/a/pretrained", "sweep/b", "other", "other/a"):
        (tmp_path / name).mkdir()
        if "/" in name:
            (tmp_path / name).rmdir()
            make_run(tmp_path, name)
    (tmp_path / "sweep/latest").symlink_to("b")
    curves([str(tmp_path / "sweep"), str(tmp_path / "other/a")])
    names = [line.split("`")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert names == ["sweep/a", "a/pretrained", "b", "other/a"]
    curves([str(tmp_path / "sweep/a")])
    assert capsys.readouterr().out.count("- `") == 1
    curves([str(tmp_path / "sweep/latest")])
    assert "- `latest`" in capsys.readouterr().out


def test_equal_names_get_the_folders_above(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path given twice, also through its parent, is one run."""
    for name in ("x/runs", "y/runs", "o"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("x/runs/a", "y/runs/a", "o/a", "o/b"):
        make_run(tmp_path, name)
    monkeypatch.chdir(tmp_path / "x")
    curves(["runs", "../y/runs", "../o", "../o/b", "runs/a"])
    names = [line.split("`")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert names == ["x/runs/a", "y/runs/a", "o/a", "b"]


def test_folders_that_cannot_be_shown_are_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {name: make_run(tmp_path, name) for name in ("a", "broken", "codes", "empty", "loose", "torn")}
    (runs["loose"] / "provenance.json").unlink()
    (runs["broken"] / "provenance.json").write_text("{")
    (runs["empty"] / "provenance.json").write_text('{"sessions": []}')
    (runs["codes"] / "metrics.csv").write_text("step,val/loss\n3,84.5\n")
    (runs["torn"] / "metrics.csv").write_text("step,val/top1_error\n3,x\n4,5\n")
    curves([str(tmp_path)])
    said = capsys.readouterr()
    assert [line for line in single_spaces(said.out).splitlines() if line.startswith("| step")] == [
        "| step | a top-1 error % | a top-5 error % |"
    ]
    assert said.out.count("- `") == 1
    skipped = said.err.splitlines()
    assert len(skipped) == 5
    for name in ("broken", "codes", "empty", "loose", "torn"):
        assert any(line.startswith(f"skipped: {runs[name]}") for line in skipped), name
    assert f"skipped: {runs['loose']}: not a run folder (no provenance.json in it)" in skipped
    for name in ("broken", "codes", "empty", "loose", "torn"):
        with pytest.raises(UserError, match=name):
            curves([str(runs[name])])
    curves([str(runs["a"]), str(runs["codes"])])
    assert "codes" not in capsys.readouterr().out


def test_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        curves([str(tmp_path)])
