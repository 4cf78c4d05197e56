"""scripts/evidence.py: every planned run composes, and every kept run is planned."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import evidence
import pytest
from evidence import STUDIES
from kept_runs import KEPT
from studies import run as study_run
from studies.cifar10 import CIFAR10, WITHOUT_NORMS
from studies.run import Run, Script, Study, median_hours
from studies.tiny_imagenet import link_classes

from alexnet_pl.config import recipes
from alexnet_pl.paper import matching

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


def test_faster_runs_on_cifar10_train_the_networks_of_the_papers_rows() -> None:
    """Fewer validations and bfloat16 leave the recipe's schedule as it is; under `plateau` validations would decide."""
    for run in (run for run in CIFAR10.runs([0]) if run.part == "cifar10"):
        assert isinstance(run, Run)
        own = tuple(word for word in run.overrides if word == WITHOUT_NORMS)
        assert matching.recipe_networks(run.recipe, run.overrides) == matching.recipe_networks(run.recipe, own)
    rare = ("schedule.name=plateau", "+trainer.check_val_every_n_epoch=10")
    assert matching.recipe_networks("demo", rare) != matching.recipe_networks("demo", rare[:1])


def test_every_kept_run_is_planned() -> None:
    kept = {path.parent.relative_to(KEPT) for path in KEPT.glob("**/fit.json")}
    by_scripts = {script.part for script in SCRIPTS}
    assert {folder for folder in kept if folder.parts[0] not in by_scripts} <= {run.folder for run in RUNS}


def test_scripts_make_the_folders_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for script in SCRIPTS:
        assert (Path(study_run.PACKAGE) / "scripts" / script.script).is_file()
        kept = [name for name in script.names if (KEPT / script.part / name).is_dir()]
        assert kept or not (KEPT / script.part).is_dir()
    monkeypatch.setattr(study_run, "KEPT", tmp_path)
    script = Script("codes", "codes.sh", (), ("a", "b"))
    for name, seconds in {"other": 3600, "a": 7200, "b": 3600}.items():
        assert not script.is_done
        (tmp_path / "codes" / name).mkdir(parents=True)
        (tmp_path / "codes" / name / "fit.json").write_text(f'{{"seconds": {seconds}}}')
    assert script.is_done
    assert median_hours("codes") == 1
    shutil.rmtree(tmp_path / "codes/a")
    evidence.print_plan([script])
    assert capsys.readouterr().out == "codes: 1 left, about 2.0 hours\n", "both runs of the script, of an hour each"
    assert median_hours("specialization") is None


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that were executed, in order; each is kept at once, and none is trained."""
    done: list[str] = []

    def execute(run: Run, root: Path) -> None:
        done.append(run.name)
        (tmp_path / "kept" / run.folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "kept" / run.folder / "metrics.csv").touch()

    monkeypatch.setattr(study_run, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(Run, "execute", execute)
    return done


def test_needed_networks_are_trained_and_later_runs_planned_late(
    executed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kept network whose checkpoint is not here is trained for the run that needs it."""

    def runs(seeds: Sequence[int]) -> Iterator[Run]:
        yield (network := Run("full", "network", 1, "demo", "task"))
        yield Run("full", "finetuned", 1, "demo", "task", needs=network)
        if "finetuned" in executed:
            yield Run("full", "late", 1, "demo", "task")
        yield Run("other", "not asked for", 1, "demo", "task")

    study = Study("data", "source", "images", ("full", "other"), (1,), runs, lambda source, root: None)
    evidence.print_plan(evidence.runs_left(study, ["full"], None))
    assert capsys.readouterr().out == "full: 2 left, hours not yet known\n"
    kept = tmp_path / "kept/full/network/seed1"
    kept.mkdir(parents=True)
    (kept / "metrics.csv").touch()
    evidence.carry_out(study, None, tmp_path / "root", ["full"], (1,))
    assert executed == ["network", "finetuned", "late"]
    assert evidence.runs_left(study, ["full"], None) == []


def test_studies_without_their_images_are_left_out(
    executed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evidence.py", str(tmp_path / "root"), "--part", "cifar10", "--seeds", "0"])
    evidence.main()
    said = capsys.readouterr().out
    assert "cifar10: 3 left, hours not yet known" in said
    assert "CIFAR-10: left out; its images are missing (--cifar10: cifar-10-python.tar.gz, or the" in said
    assert executed == []
    monkeypatch.setattr(sys, "argv", ["evidence.py", str(tmp_path / "root"), "--cifar10", str(tmp_path / "away")])
    with pytest.raises(SystemExit, match="2"):
        evidence.main()
    assert "away: does not exist; give cifar-10-python.tar.gz" in capsys.readouterr().err


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
