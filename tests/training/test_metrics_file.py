"""metrics.csv is written at once, and continued by a resumed run."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from alexnet_pl.errors import UserError
from alexnet_pl.training.metrics_file import MetricsFile, shorten


def rows(run: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without empty cells."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if value != ""} for row in csv.DictReader(file)]


def log(run: Path, step: int, *entries: dict[str, float]) -> None:
    """Log entries in a session that starts or resumes at `step`, each at its own step, as Lightning does."""
    logger = MetricsFile(run, step)
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
    logger = MetricsFile(tmp_path, 1)
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
