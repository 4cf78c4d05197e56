"""Reading a run's `metrics.csv`."""

import csv
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import numpy as np

from alexnet_pl.runs.layout import METRICS


def validations(run: Path) -> dict[int, dict[str, str]]:
    """Rows of `metrics.csv` that hold a validation, by step."""
    with (run / METRICS).open(newline="") as file:
        return {int(row["step"]): row for row in csv.DictReader(file) if row.get("val/top1_error")}


def images_per_second(run: Path) -> float | None:
    """Median over the log's lines, validation and start-up left out; None for a run too short to have any."""
    with (run / METRICS).open(newline="") as file:
        rates = [row.get("train/images_per_second") for row in csv.DictReader(file)]
    found = [float(rate) for rate in rates if rate]
    return median(found) if found else None


COLUMN = "train/epoch_top1_error"


def read_errors(path: Path) -> list[float]:
    with path.open(newline="") as file:
        return [float(row[COLUMN]) for row in csv.DictReader(file) if row.get(COLUMN)]


def column(rows: list[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    found = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
    steps, values = zip(*found, strict=True)
    return np.array(steps), np.array(values)


def epochs_to(errors: Iterable[float], target: float) -> float | None:
    """Epochs until the training error is down to `target` percent (Figure 1); None if it never is.

    `errors`: percent, one for each epoch, at its end; between two epochs the line is straight, from 100 at the start.
    """
    before = 100.0
    for epoch, error in enumerate(errors):
        if error <= target:
            return epoch + (before - target) / (before - error)
        before = error
    return None
