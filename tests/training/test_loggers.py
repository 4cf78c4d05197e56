"""Loggers: metrics.csv is always written and continued; W&B failures do not stop a run."""

import csv
import math
import time
from pathlib import Path

import numpy as np
import pytest
import wandb
from lightning.pytorch.loggers import Logger, WandbLogger
from running import Compose

from alexnet_pl.config.schema import check_config
from alexnet_pl.errors import UserError
from alexnet_pl.training.loggers import is_logged_in, make_loggers, shorten


def rows(run: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without empty cells."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if value != ""} for row in csv.DictReader(file)]


def log(run: Path, step: int, *entries: dict[str, float]) -> None:
    """Log entries in a session that starts or resumes at `step`, each at its own step, as Lightning does."""
    (logger,) = make_loggers("csv", run, "project", step)
    for entry in entries:
        entry = dict(entry)
        logger.log_metrics(entry, step=int(entry.pop("step")))
        logger.save()
    logger.finalize("success")


def test_metrics_are_written_immediately(tmp_path: Path) -> None:
    log(tmp_path, 0, {"step": 50, "train/loss": 2.5}, {"step": 100, "train/loss": 2.25})
    assert rows(tmp_path) == [{"step": "50", "train/loss": "2.5"}, {"step": "100", "train/loss": "2.25"}]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (17.200000762939453, 17.2),
        (0.1, 0.1),
        (0.123456789012, 0.123456789012),
        (1e300, 1e300),
        (0.25, 0.25),
        (math.inf, math.inf),
        (-33.333332, -33.333332),
    ],
)
def test_values_of_float32_are_logged_as_their_shortest_decimal(value: float, written: float) -> None:
    assert shorten(value) == written
    assert np.float32(min(value, 1e30)) == np.float32(min(written, 1e30)), "the same in float32"


def test_a_value_that_is_not_a_number_is_logged_as_such() -> None:
    assert math.isnan(shorten(math.nan))


def test_resumed_run_drops_only_the_rows_it_repeats(tmp_path: Path) -> None:
    """Interrupted after step 150, with the last checkpoint at 100: the row of step 100 is kept once."""
    log(tmp_path, 0, *({"step": step, "train/loss": step / 100} for step in (50, 100, 150)))
    log(tmp_path, 100, {"step": 150, "train/loss": 7.0}, {"step": 200, "train/loss": 8.0})
    assert [(row["step"], row["train/loss"]) for row in rows(tmp_path)] == [
        ("50", "0.5"),
        ("100", "1.0"),
        ("150", "7.0"),
        ("200", "8.0"),
    ]


def test_new_column_keeps_earlier_rows_aligned(tmp_path: Path) -> None:
    """Within a session and after resuming; alphabetically before and after the other columns."""
    log(tmp_path, 0, {"step": 1, "m": 1.0}, {"step": 2, "m": 2.0, "z": 2.5})
    log(tmp_path, 2, {"step": 3, "a": 3.5}, {"step": 4, "m": 4.0, "zz": 4.5})
    assert rows(tmp_path) == [
        {"step": "1", "m": "1.0"},
        {"step": "2", "m": "2.0", "z": "2.5"},
        {"step": "3", "a": "3.5"},
        {"step": "4", "m": "4.0", "zz": "4.5"},
    ]


def test_repeated_resuming_loses_and_duplicates_no_row(tmp_path: Path) -> None:
    for start in range(0, 50, 10):
        log(tmp_path, start, *({"step": step, "loss": 1.0} for step in range(start + 1, start + 14)))
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(1, 54))


def test_resume_that_logs_nothing_keeps_the_rows(tmp_path: Path) -> None:
    log(tmp_path, 0, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0})
    (logger,) = make_loggers("csv", tmp_path, "project", 1)
    _ = logger.experiment
    assert [row["step"] for row in rows(tmp_path)] == ["1"]


def test_restarted_run_starts_with_no_rows(tmp_path: Path) -> None:
    log(tmp_path, 0, {"step": 1, "loss": 1.0})
    log(tmp_path, 0, {"step": 1, "loss": 5.0})
    assert rows(tmp_path) == [{"step": "1", "loss": "5.0"}]


@pytest.mark.parametrize("left", ["", "0", "0.5,", "0.5,1", "0.5,1,"])
def test_truncated_last_line_does_not_stop_a_resume(tmp_path: Path, left: str) -> None:
    """As after a power failure; complete rows are kept."""
    whole = "loss,more,step\r\n0.1,1,10\r\n0.2,2,20\r\n"
    (tmp_path / "metrics.csv").write_text(whole + left, newline="")
    log(tmp_path, 20, {"step": 30, "loss": 0.3})
    assert [row["step"] for row in rows(tmp_path)] == ["10", "20", "30"]


@pytest.mark.parametrize("corrupt", [b"loss,step\n0.1\n0.2,20\n", b"\x80", b"loss,step\n0.l,10\n0.2,20\n"])
def test_corrupt_log_is_named_and_kept(tmp_path: Path, corrupt: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(corrupt)
    with pytest.raises(UserError, match=r"metrics.csv: (line 2: corrupt|cannot be read)"):
        log(tmp_path, 20, {"step": 30, "loss": 0.3})
    assert (tmp_path / "metrics.csv").read_bytes() == corrupt


def test_other_files_of_the_run_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").write_bytes(b"weights")
    log(tmp_path, 0, {"step": 1, "loss": 1.0})
    assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == b"weights"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "metrics.csv"]


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
    assert [row["step"] for row in rows(run)] == ["5", "15"]


@pytest.mark.usefixtures("offline_wandb")
@pytest.mark.parametrize("error", [RuntimeError("no\nconnection"), OSError("read-only file system"), Exception()])
def test_failing_wandb_is_left_out_and_the_run_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("wandb.init", failing)
    with pytest.warns(UserWarning, match="logging without W&B"):
        loggers = make_loggers("wandb", tmp_path, "project", 0)
    assert len(loggers) == 1
    loggers[0].log_metrics({"train/loss": 1.5}, step=5)
    loggers[0].save()
    assert rows(tmp_path) == [{"step": "5", "train/loss": "1.5"}]


@pytest.mark.parametrize(
    ("server", "url", "known"),
    [
        ("api.wandb.ai", None, True),
        ("wandb's own default", None, True),
        ("lab.example.org:8080", "http://lab.example.org:8080", True),
        ("api.wandb.ai", "http://lab.example.org:8080", False),
        ("elsewhere.example.org", None, False),
        ("", None, False),
    ],
)
def test_key_that_wandb_login_wrote_is_found(
    server: str, url: str | None, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """wandb's own function writes the file, for a given server."""
    wbauth = pytest.importorskip("wandb.sdk.lib.wbauth")
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    if server:
        host = wandb.Settings().base_url if server.startswith("wandb") else f"https://{server}"
        wbauth.write_netrc_auth(host=host, api_key="a" * 40)
    if url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
    assert is_logged_in() == known
    monkeypatch.setenv("WANDB_API_KEY", "b" * 40)
    assert is_logged_in()
