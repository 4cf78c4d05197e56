"""The link runs/<recipe>/latest."""

import os
from pathlib import Path

import pytest
from bare_runs import make_checkpoint_file, make_run_folder

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.runs.layout import latest_checkpoint, link_latest


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_latest_is_a_relative_link_to_the_newest_top_level_run(tmp_path: Path) -> None:
    """A run within a run, such as a member of an ensemble, does not count."""
    for name in ("runs/demo/a", "runs/demo/sweep/0-seed-1"):
        link_latest(make_run_folder(tmp_path / name))
        latest = tmp_path / "runs/demo/latest"
        assert (os.readlink(latest), latest.resolve()) == (name.removeprefix("runs/demo/"), tmp_path / name)
    last = make_checkpoint_file(tmp_path / "runs/demo/sweep/0-seed-1", "last", age=1)
    assert latest_checkpoint(tmp_path / "runs/demo", "last") == last
    assert [path for path in tmp_path.glob("runs/**/checkpoints/last.ckpt")] == [last]
    assert f"hydra.run.dir='{last.parent.parent}'" in to_hydra(["test", "runs/demo/latest"])
    for other in ("runs/demo/a/pretrained", "elsewhere/demo/b", "runs/alone"):
        link_latest(make_run_folder(tmp_path / other))
        assert latest.resolve() == tmp_path / "runs/demo/sweep/0-seed-1"
    assert not list(tmp_path.glob("runs/latest")) + list(tmp_path.glob("elsewhere/**/latest"))


def test_run_with_a_time_in_the_future_is_not_the_newest(tmp_path: Path) -> None:
    make_run_folder(tmp_path / "runs/demo/mine")
    make_run_folder(tmp_path / "runs/demo/foreign")
    mine = make_checkpoint_file(tmp_path / "runs/demo/mine", "last", age=1)
    foreign = make_checkpoint_file(tmp_path / "runs/demo/foreign", "last", age=-10 * 365 * 24 * 3600)
    assert latest_checkpoint(tmp_path / "runs/demo", "last") == mine
    mine.unlink()
    assert latest_checkpoint(tmp_path / "runs/demo", "last") == foreign


def test_user_folder_named_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs/demo/latest").mkdir(parents=True)
    link_latest(make_run_folder(tmp_path / "runs/demo/a"))
    assert not (tmp_path / "runs/demo/latest").is_symlink()
