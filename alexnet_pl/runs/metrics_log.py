"""Reading a run's `metrics.csv`."""

import csv
from pathlib import Path
from statistics import median
from typing import Any

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


def epochs_to(run: Path, error: float, trained: dict[str, Any]) -> float | None:
    """Epochs until the logged training error first was at most `error` percent."""
    path, steps, epochs = run / METRICS, trained.get("steps"), trained.get("epochs")
    if not path.is_file() or not steps or not epochs:
        return None
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("train/top1_error") and float(row["train/top1_error"]) <= error:
                return float(row["step"]) * epochs / steps
    return None
