"""W&B dashboard: panels show only metrics that runs log; offline preview; saving to a server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from running import Compose

from alexnet_pl.commands import report
from alexnet_pl.errors import UserError
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.paper.rows import make_rows
from alexnet_pl.reporting import wandb_panels, wandb_workspace
from alexnet_pl.training.metric_names import IDLE

pytest.importorskip("wandb_workspaces")


def shown_panels() -> list[Any]:
    everything = [panel for section in wandb_panels.build_workspace("me", "mine").sections for panel in section.panels]
    return [*everything, *(panel for _, _, some in parts() for panel in some)]


def parts() -> list[tuple[str, str, list[Any]]]:
    return list(wandb_workspace.report_parts(wandb_panels.build_report("me", "mine", make_rows([]))))


def test_every_panel_shows_a_logged_metric(shown: Any) -> None:
    """By the file of a run without a GPU, which alone logs how long it waits."""
    wandb = shown[2]
    there = wandb.metrics | set(wandb.config) | {IDLE}
    for panel in shown_panels():
        for name in wandb_workspace.panel_metrics(panel):
            place: Any = wandb.config
            if name.startswith("config."):
                *sections, key = name.removeprefix("config.").split(".")
                for section in sections:
                    place = place[section]
                assert key in place, name
            else:
                assert name in there, name
        assert getattr(panel, "x", wandb_panels.STEP) in there


def test_every_logged_metric_has_a_panel(shown: Any) -> None:
    read = {name for panel in shown_panels() for name in wandb_workspace.panel_metrics(panel)}
    assert shown[2].metrics - read == {wandb_panels.STEP, "test/loss"}


def test_report_tables_have_the_papers_numbers() -> None:
    written = "\n".join(text for _, text, _ in parts())
    for key in ("table1.cnn", "table2.cnn", "table2.5cnns", "table2.7cnns*"):
        claim = BY_KEY[key]
        numbers = " / ".join(f"{value:.1f}" for value in claim.values.values())
        assert any(claim.label in line and numbers in line for line in written.splitlines()), key
    assert "not yet measured" in written


def test_each_ablation_has_a_panel_grouped_by_its_setting() -> None:
    keys = set(wandb_panels.ablation_titles())
    assert keys == {
        *("model.towers", "model.norm", "model.overlap", "model.without", "model.dropout", "augment.noise"),
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
    with pytest.raises(UserError, match=r"pip install alexnet_pl\[dashboard\]"):
        report.dashboard(cfg, Path())


def test_wandbs_own_command_finds_the_offline_run_to_sync(shown: Any) -> None:
    """`wandb sync --dry-run`, without a network and without an account: the fit and its test are one run."""
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
