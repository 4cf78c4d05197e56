"""W&B neither ends a run nor keeps it waiting, whether its helper process dies, its server is down or its folders are
read-only."""

import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from run_folders import table
from wandb_file import WandbRun

from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.training import wandb_logger
from alexnet_pl.training.loggers import make_loggers
from alexnet_pl.training.media import log_summary, log_table
from alexnet_pl.training.wandb_logger import SafeWandbLogger

pytestmark = pytest.mark.usefixtures("offline_wandb")


def kill_helper() -> None:
    service: Any = wandb.setup().ensure_service()
    service._proc._process.kill()
    service._proc.join()
    time.sleep(0.2)  # until the connection is closed


def read_back(run: Path) -> list[Any]:
    """Logged losses, after W&B has written its files."""
    wandb_logger.finish()
    wandb.teardown()
    return WandbRun(run).column("train/loss")


def test_a_run_whose_helper_process_dies_goes_on_and_the_next_job_logs_again(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    loggers = make_loggers("wandb", tmp_path, "project", 0)
    kill_helper()
    for step in (1, 2, 3):
        for logger in loggers:
            logger.log_metrics({"train/loss": 1.5}, step=step)
            logger.save()
    log_table(loggers, "val/predictions", ["class"], [["cat"]], step=3)
    log_summary(loggers, "config", {"seed": 1})
    wandb_logger.finish()
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"W&B failed \(.*Connection .*\): the rest of the run is logged without it", line)
    assert [row["step"] for row in table(tmp_path / "metrics.csv")] == ["1", "2", "3"]

    (tmp_path / "next").mkdir()
    for logger in make_loggers("wandb", tmp_path / "next", "project", 0):
        logger.log_metrics({"train/loss": 2.5}, step=1)
    assert read_back(tmp_path / "next") == [2.5]


def test_closing_a_run_whose_helper_process_died_fails_no_command(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with own_process_state():
        make_loggers("wandb", tmp_path, "project", 0)
        kill_helper()
    assert capsys.readouterr().err.startswith("W&B did not get everything (")
    assert wandb.run is None


def test_a_table_that_needs_the_server_is_left_out_and_later_metrics_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    loggers = make_loggers("wandb", tmp_path, "project", 0)
    log = wandb.Run.log

    def refuse_tables(run: wandb.Run, data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if any(isinstance(value, wandb.Table) for value in data.values()):
            raise RuntimeError("Failed to verify credentials")
        log(run, data, *args, **kwargs)

    monkeypatch.setattr(wandb.Run, "log", refuse_tables)
    log_table(loggers, "val/predictions", ["class"], [["cat"]], step=3)
    loggers[1].log_metrics({"train/loss": 2.5}, step=4)
    assert capsys.readouterr().err == "not logged (Failed to verify credentials)\n"
    assert read_back(tmp_path) == [2.5]


def test_a_run_that_begins_while_the_server_is_down_is_logged_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name, value in {"MODE": "online", "API_KEY": 40 * "a", "BASE_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setattr(wandb_logger, "INIT_TIMEOUT", 1)
    loggers = make_loggers("wandb", tmp_path, "project", 0)
    loggers[1].log_metrics({"train/loss": 2.5}, step=1)
    output, errors = capsys.readouterr()
    assert errors.startswith("W&B did not start online (")
    assert "offline" in output
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    assert folder.name.endswith((tmp_path / "wandb_id.txt").read_text().strip())
    assert read_back(tmp_path) == [2.5]


@pytest.mark.parametrize(("variable", "expected"), [(None, 300), ("7", 7)])
def test_the_wait_for_the_last_uploads_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, expected: int
) -> None:
    if variable:
        monkeypatch.setenv("WANDB_FINISH_TIMEOUT", variable)
    logger = make_loggers("wandb", tmp_path, "project", 0)[1]
    assert isinstance(logger, SafeWandbLogger)
    assert logger.experiment.settings.finish_timeout == expected
    assert logger.experiment.settings.finish_timeout_raises


def test_a_run_that_is_not_uploaded_in_time_is_reported_with_the_command_that_uploads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def time_out() -> None:
        raise TimeoutError("Timed out finishing run.")

    settings = SimpleNamespace(sync_dir="/runs/one/wandb/run-1", finish_timeout=300.0)
    monkeypatch.setattr(wandb, "run", SimpleNamespace(finish=time_out, settings=settings))
    wandb_logger.finish()
    errors = capsys.readouterr().err
    assert "Timed out finishing run." in errors
    assert "`wandb sync /runs/one/wandb/run-1`" in errors


def test_a_home_that_cannot_be_written_fills_no_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """The helper process prints its log if it can write it nowhere."""
    monkeypatch.setenv("WANDB_CACHE_DIR", "/dev/null/cache")
    make_loggers("wandb", tmp_path, "project", 0)
    wandb_logger.finish()
    wandb.teardown()
    assert capfd.readouterr().err == ""
    assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path / "wandb/cache")
