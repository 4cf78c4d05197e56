"""W&B dashboard: panels show only metrics that runs log; preview offline; saving to a server."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from box_runs import CPU, KEYS, make_classifier_run, make_scenes
from omegaconf import DictConfig
from running import Compose, last, offline, run
from wandb_file import WandbRun

from alexnet_pl.commands import report
from alexnet_pl.config.recipes import compose
from alexnet_pl.errors import UserError
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.paper.rows import make_rows
from alexnet_pl.reporting import wandb_panels, wandb_workspace
from alexnet_pl.runs.metric_names import (
    ADAM_RATE,
    BOX_LOSSES,
    FOUND_BOXES,
    IDLE,
    LOCALISATION_ERRORS,
    MEAN_AVERAGE_PRECISION,
    MERGING,
    MISTAKES,
)

pytest.importorskip("wandb_workspaces")
BOX_METRICS = {
    *(f"{stage}/{loss}" for stage in ("train", "val") for loss in BOX_LOSSES),
    *LOCALISATION_ERRORS,
    *(ADAM_RATE, MEAN_AVERAGE_PRECISION, FOUND_BOXES, MERGING, MISTAKES),
}


def shown_panels() -> list[Any]:
    everything = [panel for section in wandb_panels.build_workspace("me", "mine").sections for panel in section.panels]
    return [*everything, *(panel for _, _, some in parts() for panel in some)]


def parts() -> list[tuple[str, str, list[Any]]]:
    return list(wandb_workspace.report_parts(wandb_panels.build_report("me", "mine", make_rows([]))))


def test_every_panel_shows_a_logged_metric(shown: Any) -> None:
    """Uses the file of a run without a GPU; only runs on a GPU log its idle time."""
    wandb = shown[2]
    there = wandb.metrics | set(wandb.config) | {IDLE}
    for panel in shown_panels():
        for name in wandb_workspace.panel_metrics(panel):
            if name in BOX_METRICS:
                continue  # see test_box_panels_show_what_box_runs_log
            place: Any = wandb.config
            if name.startswith("config."):
                *sections, key = name.removeprefix("config.").split(".")
                for section in sections:
                    place = place[section]
                assert key in place, name
            elif name.startswith("^"):
                assert any(re.match(name, metric) for metric in there), name
            else:
                assert name in there, name
        assert getattr(panel, "x", wandb_panels.STEP) in there


def test_every_logged_metric_has_a_panel(shown: Any) -> None:
    read = {name for panel in shown_panels() for name in wandb_workspace.panel_metrics(panel)}
    logged = {name for name in shown[2].metrics if not any(re.match(one, name) for one in read if one.startswith("^"))}
    assert logged - read == {wandb_panels.STEP, "epoch", "test/loss"}


@pytest.fixture(scope="module")
def box_folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Run folders of a localiser and a detector, trained and tested with W&B."""
    folder = tmp_path_factory.mktemp("boxes")
    store = make_scenes(folder / "store")
    classifier = make_classifier_run(folder / "classifier", store)
    words = [f"data.root={store.root}", f"transfer.weights={classifier}", *CPU, *KEYS, "logger=wandb"]
    for name in ("localise", "detect"):
        (folder / name).mkdir()
        with offline(folder / "home"):
            cfg = compose(f"overfeat_{name}", words)
            run(cfg, "fit", folder / name)
            run(cfg, "test", folder / name, last(folder / name))
    return [folder / "localise", folder / "detect"]


def test_box_panels_show_what_box_runs_log(box_folders: list[Path]) -> None:
    """Each metric of a box panel is logged by a localiser or a detector, and both log only metrics of a panel."""
    localiser, detector = map(WandbRun, box_folders)
    assert (localiser.metrics | detector.metrics) >= BOX_METRICS
    assert not {"test/map", *(f"train/{loss}" for loss in BOX_LOSSES)} & localiser.metrics
    read = {name for panel in shown_panels() for name in wandb_workspace.panel_metrics(panel)}
    logged = localiser.metrics | detector.metrics
    unseen = {name for name in logged if not any(re.match(one, name) for one in read if one.startswith("^"))} - read
    assert unseen == {wandb_panels.STEP}, unseen


def test_wandb_overlay_has_the_boxes_in_pixels(box_folders: list[Path]) -> None:
    """Compares W&B's overlay of the first image with the boxes file of the test."""
    wandb = WandbRun(box_folders[0])
    (logged,) = wandb.column(FOUND_BOXES)
    overlay = json.loads(wandb.media(logged["all_boxes"][0]["found"]["path"]).read_text())["box_data"]
    written = json.loads(next(box_folders[0].glob("results/*/detections.coco.json")).read_text())
    first = [one["bbox"] for one in written if one["image_id"] == written[0]["image_id"]]
    for row, (left, top, width, height) in zip(overlay, first, strict=True):
        assert row["domain"] == "pixel"
        edges = [row["position"][name] for name in ("minX", "minY", "maxX", "maxY")]
        assert edges == pytest.approx([left, top, left + width, top + height], abs=0.01)


def test_report_tables_have_the_papers_numbers() -> None:
    written = "\n".join(text for _, text, _ in parts())
    for key in ("table1.cnn", "table2.cnn", "table2.5cnns", "table2.7cnns*"):
        claim = BY_KEY[key]
        for value in claim.values.values():
            assert any(f"| {claim.label} " in line and f"| {value:.1f} " in line for line in written.splitlines()), key
    assert "not yet measured" in written


def test_each_ablation_has_a_panel_grouped_by_its_setting() -> None:
    keys = set(wandb_panels.ablation_titles())
    assert keys == {
        *("model.towers", "model.norm", "model.overlap", "model.without", "model.dropout", "augment.noise"),
        "augment.random_crop",
    }
    titles = wandb_panels.ablation_titles()
    assert "1.4 / 1.2 points" in titles["model.norm"]
    assert "without conv2, without conv3, without conv4" in titles["model.without"]


@pytest.fixture
def cfg(config: Compose, tmp_path: Path) -> DictConfig:
    return config("demo", "wandb.project=mine", f"report.runs={tmp_path}", f"report.output={tmp_path / 'all.json'}")


def test_offline_dashboard_is_printed_and_written(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    report.dashboard(cfg, tmp_path / "dashboard")
    said = capsys.readouterr().out
    assert "Gradient norm" in said
    assert "not logged in to W&B, so nothing was saved there" in said
    written = json.loads((tmp_path / "all.json").read_text())
    sections = written["workspace"]["section"]["panelBankConfig"]["sections"]
    assert [section["name"] for section in sections][:2] == ["Errors and losses", "Learning rates"]
    assert sections[0]["panels"][0]["config"]["metrics"] == ["val/top1_error"]
    assert [part["heading"] for part in written["report"]][1] == "Table 1: ILSVRC-2010, test"


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, cfg: DictConfig) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(UserError, match=r"wandb-workspaces is not installed; pip install -e '.\[dashboard\]'$"):
        report.dashboard(cfg, Path())


def test_wandbs_own_command_finds_the_offline_run_to_sync(shown: Any) -> None:
    """`wandb sync --dry-run`, without network and account: the fit and its test are one run."""
    _, folder, wandb = shown
    files = [path.relative_to(folder) for path in folder.glob("wandb/offline-run-*/*.wandb") if path.is_file()]
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", *{str(path.parent) for path in files}],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    (identity,) = wandb.identities
    for path in files:
        assert path.parent.name.endswith(identity)
        assert path.parent.name in said, said
