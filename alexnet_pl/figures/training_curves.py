"""Training curves (§6) from metrics.csv: losses, errors, and the steps at which the learning rate fell.

Drops are read from the rates that metrics.csv logs at the start of each epoch; those of a staged schedule, which may
act within an epoch, from its settings.
"""

import csv
from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures.style import Theme
from alexnet_pl.runs.layout import METRICS
from alexnet_pl.runs.metrics_log import column
from alexnet_pl.training.epoch_schedules import StagedSchedule
from alexnet_pl.training.metric_names import EPOCH_ERROR, RATE

PANELS = {  # its columns, and how each is called and drawn: place in the theme's series, style
    "Loss": {"train/loss": ("training", 0, "-"), "val/loss": ("validation", 1, "-")},
    "Error, %": {
        "train/top1_error": ("training, top-1", 0, "-"),
        "train/top5_error": ("training, top-5", 0, ":"),
        "val/top1_error": ("validation, top-1", 1, "-"),
        "val/top5_error": ("validation, top-5", 1, ":"),
    },
}


class Drop(NamedTuple):
    """A fall of weights' learning rates: when, in steps, and how much of which."""

    step: float
    label: str


class Course(NamedTuple):
    """Logged training: (steps, values) of each column, steps at which epochs ended, rate drops."""

    columns: dict[str, tuple[np.ndarray, np.ndarray]]
    ends: np.ndarray
    drops: list[Drop]

    def epochs(self, steps: np.ndarray) -> np.ndarray:
        """Steps → epochs done by then; steps again where not even one epoch's length is known."""
        if len(self.ends) < 2:
            return steps
        after = np.maximum(steps - self.ends[-1], 0) / (self.ends[-1] - self.ends[-2])
        return np.interp(steps, self.ends, np.arange(len(self.ends))) + after


def read_course(run: TrainedRun) -> Course:
    path = run.folder / METRICS
    if not path.is_file():
        raise UserError(f"{path}: is not there; `fit` writes it")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row.get("step") or "").isdecimal()]
    names = [name for panel in PANELS.values() for name in panel]
    columns = {name: column(rows, name) for name in names if any(row.get(name) for row in rows)}
    if not columns:
        raise UserError(f"{path}: no loss was logged yet; a fit logs the first after trainer.log_every_n_steps")
    rates = [(int(row["step"]), found) for row in rows if (found := weights(row))]
    ends = find_ends(rows, [step for step, _ in rates])
    return Course(columns, ends, find_drops(run, rates, ends))


def find_ends(rows: list[dict[str, str]], rates: list[int]) -> np.ndarray:
    """Steps at which epochs ended; in older logs, at which rates were logged."""
    ended = {int(row["step"]) for row in rows if row.get(EPOCH_ERROR)}
    return np.array(sorted({0, *ended} if ended else {0, *rates}))


def weights(row: dict[str, str]) -> dict[str, float]:
    """Rates of the layers' weights; those of biases go their own ways."""
    names = [name for name in row if name.startswith(f"{RATE}/") and name.endswith(".weight")]
    return {name.removeprefix(f"{RATE}/").removesuffix(".weight"): float(row[name]) for name in names if row[name]}


def find_drops(run: TrainedRun, rates: list[tuple[int, dict[str, float]]], ends: np.ndarray) -> list[Drop]:
    """`rates`: those of the layers' weights as logged, with their steps."""
    if run.cfg.schedule.name == "staged" and rates:
        stages: Any = OmegaConf.to_container(run.cfg.schedule.staged.stages, resolve=True)
        return staged_drops(stages, list(rates[0][1]), ends)
    said = [Drop(step, describe_drop(before, now)) for (_, before), (step, now) in pairwise(rates)]
    return [drop for drop in said if drop.label]


def staged_drops(stages: list[Any], layers: list[str], ends: np.ndarray) -> list[Drop]:
    """Drops of the stages that have started, at the steps of their epochs."""
    schedule, found = StagedSchedule(stages), []
    begun = [stage["epoch"] for stage in stages if stage["epoch"] - 1 <= len(ends) - 1]
    for before, now in pairwise(begun):
        rates = [
            {name: schedule.rate(f"{name}.weight", *schedule.rates(epoch)[:2]) for name in layers}
            for epoch in (before, now)
        ]
        step = float(np.interp(now - 1, np.arange(len(ends)), ends))
        found.append(Drop(step, describe_drop(*rates)))
    return [drop for drop in found if drop.label]


def describe_drop(before: dict[str, float], now: dict[str, float]) -> str:
    """ "÷10" where most layers' rates fell so, else which ones', or "" where none did."""
    factors = {
        name: before[name] / now[name] if now[name] else np.inf for name in before if now.get(name, 0) < before[name]
    }
    if not factors:
        return ""
    factor, count = Counter(f"{value:.3g}" for value in factors.values()).most_common(1)[0]
    which = "" if count > len(before) / 2 else ", ".join(sorted(factors)) + " "
    return f"{which}stops" if factor == "inf" else f"{which}÷{factor}"


def draw_training_curves(course: Course, theme: Theme) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for name, (label, place, style) in lines.items():
            if name in course.columns:
                steps, values = course.columns[name]
                axes.plot(course.epochs(steps), values, style, color=theme.series[place], linewidth=1.4, label=label)
        axes.set(ylabel=title, xlabel="Epochs" if len(course.ends) > 1 else "Steps", ylim=(0, None), xlim=(0, None))
        axes.grid(axis="y", linewidth=0.5)
        axes.legend(loc="upper right", frameon=True, facecolor=theme.page, edgecolor="none", framealpha=0.85)
        mark(axes, course, theme)
    return figure


def mark(axes: Axes, course: Course, theme: Theme) -> None:
    """A line where a rate fell, its label above the panel."""
    for drop in course.drops:
        x = float(course.epochs(np.array([drop.step]))[0])
        axes.axvline(x, color=theme.ink, linewidth=0.8, linestyle=(0, (4, 3)))
        above = axes.get_xaxis_transform()
        axes.text(x, 1.01, drop.label, transform=above, ha="center", va="bottom", fontsize=8)
