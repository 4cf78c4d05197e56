"""scripts/evidence.py: every planned run composes, and every kept run is planned."""

from pathlib import Path

import pytest
from evidence import STUDIES
from kept_runs import KEPT
from studies import run as study_run
from studies.run import Run, Script, median_hours
from studies.tiny_imagenet import link_classes

from alexnet_pl.config import recipes

PLANNED = [run for study in STUDIES for run in study.runs(study.seeds)]
RUNS = [run for run in PLANNED if isinstance(run, Run)]
SCRIPTS = [run for run in PLANNED if isinstance(run, Script)]


def test_planned_runs_have_different_folders() -> None:
    assert len({run.folder for run in RUNS}) == len(RUNS) > 100


@pytest.mark.parametrize("run", {(run.recipe, run.overrides): run for run in RUNS if run.seed < 2}.values(), ids=str)
def test_recipe_and_overrides_compose(run: Run) -> None:
    cfg = recipes.compose(run.recipe, [f"data.root={run.store}", *run.overrides])
    for override in run.overrides:
        key, value = override.lstrip("+").split("=", 1)
        if key == "variant":  # a config group, not a key
            continue
        node = cfg
        for name in key.split("."):
            node = node[name]
        assert str(node).lower().replace(" ", "") == value.lower()


def test_every_kept_run_is_planned() -> None:
    kept = {path.parent.relative_to(KEPT) for path in KEPT.glob("**/fit.json")}
    by_scripts = {script.part for script in SCRIPTS}
    assert {folder for folder in kept if folder.parts[0] not in by_scripts} <= {run.folder for run in RUNS}


def test_scripts_exist_and_count_their_kept_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all((Path(study_run.PACKAGE) / "scripts" / script.script).is_file() for script in SCRIPTS)
    monkeypatch.setattr(study_run, "KEPT", tmp_path)
    script = Script("codes", "codes.sh", (), count=2)
    for number, seconds in enumerate((3600, 7200)):
        assert not script.is_done
        (tmp_path / f"codes/{number}").mkdir(parents=True)
        (tmp_path / f"codes/{number}/fit.json").write_text(f'{{"seconds": {seconds}}}')
    assert script.is_done
    assert median_hours("codes") == 1.5
    assert median_hours("halves") is None


def test_classes_are_divided_between_the_stores(tmp_path: Path) -> None:
    source, root = tmp_path / "tiny", tmp_path / "classes"
    for wnid in ("n1", "n2", "n3"):
        (source / "train" / wnid / "images").mkdir(parents=True)
        for number in range(20):
            (source / "train" / wnid / "images" / f"{wnid}_{number:02d}.JPEG").touch()
    (source / "val/images").mkdir(parents=True)
    lines = [f"val_{number}.JPEG\tn{number % 3 + 1}\t0\t0\t1\t1\n" for number in range(6)]
    (source / "val/val_annotations.txt").write_text("".join(lines))
    link_classes(source, root)
    assert sorted(path.name for path in (root / "task/train").iterdir()) == ["n1", "n3"]
    assert sorted(path.name for path in (root / "others/val").iterdir()) == ["n2"]
    assert sorted(path.name for path in (root / "task/val/n1").iterdir()) == ["val_0.JPEG", "val_3.JPEG"]
    assert len(list((root / "tune/val").glob("*/*"))) == 4
    assert len(list((root / "tune/train").glob("*/*"))) == 36
