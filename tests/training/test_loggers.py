"""Loggers: TensorBoard and W&B beside metrics.csv; W&B failures do not stop a run."""

import time
from pathlib import Path

import pytest
from lightning.pytorch.loggers import Logger, WandbLogger
from run_folders import table
from running import Compose

from alexnet_pl.config.checks import check_config
from alexnet_pl.errors import UserError, reason
from alexnet_pl.training.loggers import make_loggers


def test_logger_csv_does_not_start_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B is not even started."""
    monkeypatch.setattr("wandb.init", lambda **_: pytest.fail("W&B was started"))
    assert len(make_loggers("csv", tmp_path, "project", 0)) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["wandbb", "", "paper", "csv,wandb"])
def test_unknown_logger_is_named_with_the_available_ones(config: Compose, kind: str) -> None:
    cfg = config("demo")
    cfg.logger = kind
    with pytest.raises(UserError, match=rf"^logger={kind}: .*wandb.*tensorboard.*csv"):
        check_config(cfg)


def of_wandb(loggers: list[Logger]) -> WandbLogger:
    (found,) = [logger for logger in loggers if isinstance(logger, WandbLogger)]
    return found


def test_tensorboard_forgets_the_steps_after_the_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard (extra `tensorboard`)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, end, resumed in ((1, 10, 0), (6, 8, 5)):
        logger = make_loggers("tensorboard", tmp_path, "project", resumed)[1]
        for step in range(first, end + 1):
            logger.log_metrics({"train/loss": float(step)}, step=step)
        logger.finalize("success")
        time.sleep(1.1)  # files are ordered by their time in seconds
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.usefixtures("offline_wandb")
def test_wandb_offline_is_in_the_run_folder_and_resumes_the_same_run(tmp_path: Path) -> None:
    import wandb

    run, identities = tmp_path / "demo/one", []
    for step in (0, 10):
        run.mkdir(parents=True, exist_ok=True)
        loggers = make_loggers("wandb", run, "project", step)
        assert len(loggers) == 2
        assert of_wandb(loggers).experiment.name == "demo/one"
        identities.append(of_wandb(loggers).experiment.id)
        for logger in loggers:
            logger.log_metrics({"train/loss": 1.5}, step=step + 5)
            logger.save()
        wandb.finish()
    assert identities[0] == identities[1]
    assert all(path.stat().st_size > 0 for path in run.rglob("*.wandb"))
    files = list(run.rglob("*.wandb"))
    assert files
    assert {path.name for path in files} == {f"run-{identities[0]}.wandb"}
    assert [row["step"] for row in table(run / "metrics.csv")] == ["5", "15"]


@pytest.mark.usefixtures("offline_wandb")
@pytest.mark.parametrize("error", [RuntimeError("no\nconnection"), OSError("read-only file system"), Exception()])
def test_failing_wandb_is_left_out_and_the_run_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, error: Exception
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("wandb.init", failing)
    loggers = make_loggers("wandb", tmp_path, "project", 0)
    assert capsys.readouterr().err == f"logging without W&B ({reason(error)})\n"
    assert len(loggers) == 1
    loggers[0].log_metrics({"train/loss": 1.5}, step=5)
    loggers[0].save()
    assert table(tmp_path / "metrics.csv") == [{"step": "5", "train/loss": "1.5"}]
