"""fit.json: whether a fit is finished and whether it may resume."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alexnet_pl.errors import UserError
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.records import DatasetInfo

TRAINING: dict[str, Any] = {"model": {"norm": True}, "trainer": {"max_epochs": 4}, "optim": {"lr": 0.01}}
STORE = DatasetInfo(name="tiny")


def last(run: Path) -> Path:
    path = run / "checkpoints/last.ckpt"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def read(run: Path) -> fit_status.FitStatus:
    status = fit_status.read_fit_status(run)
    assert status is not None
    return status


def with_(section: str, **values: Any) -> dict[str, Any]:
    return {**TRAINING, section: {**TRAINING[section], **values}}


def content(step: int, **saved: Any) -> dict[str, Any]:
    """Content of a checkpoint, with the settings that a fit saves."""
    state = {"training": TRAINING, "changed_settings": [], "seconds": 1.0, **saved}
    return {"global_step": step, "callbacks": {"FitRecord": state}}


def test_checkpoint_of_another_run_is_not_this_run(tmp_path: Path) -> None:
    """The checkpoint was copied into the folder of a run that ended at the same step."""
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    fit_status.mark_finished(tmp_path, 10, 4, 640, 2.5, "schedule")
    assert fit_status.finished_fit(last(tmp_path), content(10, training=with_("optim", lr=0.02))) is None
    status = fit_status.finished_fit(last(tmp_path), content(10, changed_settings=["optim.lr"]))
    assert status is not None
    assert status.changed, "whatever fit.json says"
    older = fit_status.finished_fit(last(tmp_path), {"global_step": 10})
    assert older is not None
    assert not older.changed


def test_only_a_completed_fit_is_finished(tmp_path: Path) -> None:
    assert fit_status.finished_fit(last(tmp_path), content(10)) is None
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    assert fit_status.finished_fit(last(tmp_path), content(10)) is None
    fit_status.mark_finished(tmp_path, 10, 4, 640, 2.5, "schedule")
    status = fit_status.finished_fit(last(tmp_path), content(10))
    assert status is not None
    assert (status.epochs, status.images, status.seconds, status.changed) == (4, 640, 2.5, False)
    assert fit_status.finished_fit(last(tmp_path), content(9)) is None, "the step of another checkpoint"
    assert fit_status.finished_fit(tmp_path / "checkpoints/best.ckpt", content(10)) is None, (
        "chosen on the images it is tested on"
    )
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    assert fit_status.finished_fit(last(tmp_path), content(10)) is None, "it has begun again"


def test_auto_starts_resumes_or_skips(tmp_path: Path) -> None:
    assert fit_status.resume_point(tmp_path, TRAINING) == (False, None)
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    assert fit_status.resume_point(tmp_path, TRAINING) == (False, None), "stopped before its first checkpoint"
    checkpoint = last(tmp_path)
    assert fit_status.resume_point(tmp_path, TRAINING) == (False, checkpoint)
    fit_status.mark_finished(tmp_path, 10, 4, 640, 1.0, "schedule")
    assert fit_status.resume_point(tmp_path, TRAINING) == (True, checkpoint)
    assert fit_status.resume_point(tmp_path, with_("trainer", max_epochs=8)) == (False, checkpoint), (
        "more epochs are asked for"
    )
    with pytest.raises(UserError, match=r"optim.lr: the run in .* was started with other values"):
        fit_status.resume_point(tmp_path, with_("optim", lr=0.1))


def test_auto_refuses_other_images_than_those_of_the_run(tmp_path: Path) -> None:
    """A run that did not record its images, or whose store is not known, is continued as before."""
    fit_status.start_fit(tmp_path, TRAINING, replace(STORE, fingerprint="a" * 64))
    checkpoint = last(tmp_path)
    fit_status.mark_finished(tmp_path, 10, 4, 640, 1.0, "schedule")
    for same in ("", "a" * 64):
        assert fit_status.resume_point(tmp_path, TRAINING, same) == (True, checkpoint)
    with pytest.raises(UserError, match=r"data.root: .* with other images \(a{12}\) than this store's \(b{12}\)"):
        fit_status.resume_point(tmp_path, TRAINING, "b" * 64)
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    assert fit_status.resume_point(tmp_path, TRAINING, "b" * 64) == (False, checkpoint)


def test_larger_max_steps_continues_a_run_as_it_is() -> None:
    """The record names the steps and what ended the fit."""
    cut = with_("trainer", max_steps=5)
    assert fit_status.changed_settings(cut, TRAINING) == []
    assert fit_status.changed_settings({**cut, "codes": {}}, {**TRAINING, "codes": {}}) == ["trainer.max_steps"]


def test_changed_settings_are_recorded_except_max_epochs(tmp_path: Path) -> None:
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    fit_status.start_fit(tmp_path, with_("trainer", max_epochs=9), STORE, resumed=True)
    assert not read(tmp_path).changed
    fit_status.start_fit(tmp_path, with_("model", norm=False), STORE, resumed=True)
    fit_status.start_fit(tmp_path, with_("model", norm=False), STORE, resumed=True)
    fit_status.mark_finished(tmp_path, 1, 1, 1, 1.0, "schedule")
    assert read(tmp_path).changed


def test_resumed_fit_keeps_the_time_and_the_change_of_earlier_sessions(tmp_path: Path) -> None:
    """An older fit.json says that settings changed, but not which."""
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    fit_status.mark_finished(tmp_path, 10, 4, 640, 2.5, "other")
    older = json.loads((tmp_path / "fit.json").read_text()) | {"changed": True}
    del older["changed_settings"]
    (tmp_path / "fit.json").write_text(json.dumps(older))
    begun = fit_status.start_fit(tmp_path, TRAINING, STORE, resumed=True)
    assert (begun.changed, begun.changed_settings, begun.seconds) == (True, [], 2.5)
    assert read(tmp_path) == begun


def test_new_fit_in_a_used_folder_inherits_nothing(tmp_path: Path) -> None:
    """The earlier fit.json describes another network."""
    fit_status.start_fit(tmp_path, with_("optim", lr=0.02), STORE, ["model.norm"])
    fit_status.mark_finished(tmp_path, 10, 4, 640, 2.5, "schedule")
    begun = fit_status.start_fit(tmp_path, TRAINING, STORE, [])
    assert (begun.changed, begun.changed_settings, begun.seconds) == (False, [], 0.0)


@pytest.mark.parametrize(
    "saved", [{}, {"training": 3}, {"changed_settings": None}, {"training": {"monitor": 3, "watch": {"every": 3}}}]
)
def test_corrupt_state_in_a_checkpoint_is_named(tmp_path: Path, saved: dict[str, Any]) -> None:
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    fit_status.mark_finished(tmp_path, 10, 4, 640, 2.5, "schedule")
    checkpoint = content(10, **saved) if saved else {"global_step": 10, "callbacks": {"FitRecord": {}}}
    with pytest.raises(
        UserError, match=r"last\.ckpt: the settings of its fit are corrupt \(.*\); use another checkpoint"
    ):
        fit_status.finished_fit(last(tmp_path), checkpoint)


def test_all_changed_settings_are_named_beside_max_epochs(tmp_path: Path) -> None:
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    now = {"model": {"norm": False}, "trainer": {"max_epochs": 9}, "optim": {"lr": 0.1}}
    with pytest.raises(UserError, match=r"model.norm, optim.lr: the run in .* was started with other values"):
        fit_status.resume_point(tmp_path, now)
    fit_status.start_fit(tmp_path, now, STORE, resumed=True)
    status = read(tmp_path)
    assert (status.changed, status.changed_settings) == (True, ["model.norm", "optim.lr"])


def test_fit_ended_otherwise_is_not_finished(tmp_path: Path) -> None:
    fit_status.start_fit(tmp_path, TRAINING, STORE)
    checkpoint = last(tmp_path)
    fit_status.mark_finished(tmp_path, 10, 4, 640, 1.0, "other")
    assert fit_status.finished_fit(checkpoint, content(10)) is None
    assert fit_status.resume_point(tmp_path, TRAINING) == (False, checkpoint)


def test_corrupt_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text("{")
    with pytest.raises(UserError, match=r"fit.json: corrupt"):
        fit_status.read_fit_status(tmp_path)


def test_record_whose_old_keys_contradict_is_named(tmp_path: Path) -> None:
    training = {"monitor": 3, "watch": {"every": 3}}
    (tmp_path / "fit.json").write_text(json.dumps({"finished": True, "training": training, "store": {}}))
    with pytest.raises(UserError, match=r"fit.json: corrupt .*monitor: expected a section of keys, not 3"):
        fit_status.read_fit_status(tmp_path)


def test_record_without_a_schema_is_of_schema_1(tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text('{"schema": null, "finished": true, "training": {}, "store": {}}')
    status = read(tmp_path)
    assert (status.finished, status.changed, status.changed_settings) == (True, False, [])
    assert (status.seconds, status.ended_by, status.steps) == (0.0, None, None)


def test_seconds_cover_all_sessions(tmp_path: Path) -> None:
    assert fit_status.start_fit(tmp_path, TRAINING, STORE).seconds == 0.0
    fit_status.mark_finished(tmp_path, 10, 4, 640, 2.54, "schedule")
    begun = fit_status.start_fit(tmp_path, TRAINING, STORE, resumed=True)
    assert begun == read(tmp_path)
    assert (begun.seconds, begun.finished) == (2.5, False)


def test_section_instead_of_a_value_is_a_change() -> None:
    before: dict[str, Any] = {"schedule": {"name": "steps", "steps": None}, "transfer": None}
    now = {"schedule": {"name": "steps", "steps": {"drops": [4]}}, "transfer": {"layers": []}}
    assert fit_status.changed_settings(before, now) == ["schedule.steps", "transfer"]
    assert fit_status.changed_settings(now, before) == ["schedule.steps", "transfer"]


@pytest.mark.parametrize(("section", "changed"), [("codes", True), ("boxes", True), ("schedule", False)])
def test_length_is_a_setting_of_rates_that_decay_over_it(section: str, changed: bool) -> None:
    before, now = ({section: {}, "trainer": {"max_epochs": epochs}} for epochs in (2, 3))
    assert fit_status.changed_settings(before, now) == ["trainer.max_epochs"] * changed
