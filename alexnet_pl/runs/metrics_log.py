"""Read a run's `metrics.csv`."""

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from alexnet_pl.errors import UserError, reason
from alexnet_pl.runs.layout import METRICS
from alexnet_pl.runs.metric_names import EPOCH_ERROR, THROUGHPUT

Row = dict[str, float]
"""Values by column, empty cells left out; `step` is a whole number."""


def read_rows(path: Path) -> list[Row]:
    """Rows of a `metrics.csv`, without a last row that was cut off by a crash.

    Raises UserError, naming the file and the line, for a corrupt row.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); fix or remove the file") from error
    if rows and (None in rows[-1].values() or rows[-1].get("step") == ""):
        rows.pop()
    return [parse_row(row, f"{path}: line {line}") for line, row in enumerate(rows, 2)]


def is_complete_row(row: Mapping[str, str | None]) -> bool:
    """Whether a row has all fields; a crash can truncate the last row."""
    return None not in row and None not in row.values() and (row.get("step") or "").isdecimal()


def parse_row(row: dict[str, str], where: str) -> Row:
    if not is_complete_row(row):
        raise UserError(f"{where}: corrupt (wrong number of cells, or no step)")
    try:
        values = {name: int(value) if name == "step" else float(value) for name, value in row.items() if value}
        for name, value in values.items():
            if name.endswith("_error") and not 0 <= value <= 100:
                raise ValueError(f"{name}: {value} is no percentage")
        return values
    except ValueError as error:
        raise UserError(f"{where}: corrupt ({error}); fix or remove the file") from error


def validations(run: Path) -> dict[int, Row]:
    """Rows of `metrics.csv` that contain a validation, by step."""
    return {int(row["step"]): row for row in read_rows(run / METRICS) if "val/top1_error" in row}


class LogSummary(NamedTuple):
    """Values of a `metrics.csv` that reports need. `errors`: training error of each epoch, in percent; `rate`: median
    images per second, None if no row has one."""

    errors: tuple[float, ...]
    rate: float | None


def summarize(path: Path) -> LogSummary:
    """Summary of a log. Each version of a file is parsed once: that of a long fit takes a second, and a report asks
    several times per test."""
    try:
        about = path.stat()
    except OSError:
        return summarize_version(path, ())  # raises the error that names the file
    return summarize_version(path, (about.st_size, about.st_mtime_ns, about.st_ino))


@cache
def summarize_version(path: Path, version: tuple[int, ...]) -> LogSummary:
    rows = read_rows(path)
    rates = [row[THROUGHPUT] for row in rows if THROUGHPUT in row]
    errors = tuple(row[EPOCH_ERROR] for row in rows if EPOCH_ERROR in row)
    return LogSummary(errors, median(rates) if rates else None)


def images_per_second(run: Path) -> float | None:
    """Median images per second over the rows of `metrics.csv`; None if no row has a rate."""
    return summarize(run / METRICS).rate


def read_errors(path: Path) -> list[float]:
    """Training error of each epoch, in percent."""
    return list(summarize(path).errors)


def column(rows: list[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of the rows that have the column."""
    steps, values = zip(*((row["step"], row[name]) for row in rows if name in row), strict=True)
    return np.array(steps), np.array(values)


def epochs_to(errors: Iterable[float], target: float) -> float | None:
    """Epochs until the training error reaches `target` percent (Figure 1); None if it never does.

    `errors`: percent at the end of each epoch; interpolated linearly between epochs, starting from 100.
    """
    before = 100.0
    for epoch, error in enumerate(errors):
        if error <= target:
            return epoch + (before - target) / (before - error)
        before = error
    return None
