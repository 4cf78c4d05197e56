"""Training curves (§6) from metrics.csv: losses, errors, and drops of the learning rate.

Drops are read from the rates in metrics.csv, which are logged at the start of each epoch. A staged schedule may act
within an epoch, so its drops are read from its settings.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import fit_has_top5
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures.style import Theme
from alexnet_pl.runs.layout import METRICS
from alexnet_pl.runs.metric_names import EPOCH_ERROR, RATE
from alexnet_pl.runs.metrics_log import Row, column, read_rows
from alexnet_pl.training.epoch_schedules import StagedSchedule

PANELS = {  # panel → column → label, index into the theme's series, line style
    "Loss": {"train/loss": ("training", 0, "-"), "val/loss": ("validation", 1, "-")},
    "Error, %": {
        "train/top1_error": ("training, top-1", 0, "-"),
        "val/top1_error": ("validation, top-1", 1, "-"),
        "val/top5_error": ("validation, top-5", 1, ":"),
    },
}


class Drop(NamedTuple):
    """Drop of learning rates of weights: its step, and a label with factor and layers."""

    step: float
    label: str


class TrainingCurves(NamedTuple):
    """Logged curves: (steps, values) of each column, steps at which epochs ended, learning rate drops."""

    columns: dict[str, tuple[np.ndarray, np.ndarray]]
    ends: np.ndarray
    drops: list[Drop]

    def epochs(self, steps: np.ndarray) -> np.ndarray:
        """Convert steps to epochs; returns the steps if no epoch has ended."""
        if len(self.ends) < 2:
            return steps
        after = np.maximum(steps - self.ends[-1], 0) / (self.ends[-1] - self.ends[-2])
        return np.interp(steps, self.ends, np.arange(len(self.ends))) + after


def read_training_curves(run: TrainedRun) -> TrainingCurves:
    path = run.folder / METRICS
    if not path.is_file():
        raise UserError(f"{path}: does not exist; `fit` writes it")
    rows = read_rows(path)
    hidden = () if fit_has_top5(run.folder) else ("val/top5_error",)
    names = [name for panel in PANELS.values() for name in panel if name not in hidden]
    columns = {name: column(rows, name) for name in names if any(name in row for row in rows)}
    if not columns:
        raise UserError(f"{path}: no loss was logged yet; the first is logged after trainer.log_every_n_steps steps")
    rates = [(int(row["step"]), rates_of_row) for row in rows if (rates_of_row := weight_rates(row))]
    ends = find_ends(rows, [step for step, _ in rates])
    return TrainingCurves(columns, ends, find_drops(run, rates, ends))


def find_ends(rows: list[Row], rates: list[int]) -> np.ndarray:
    """Steps at which epochs ended; in older logs, steps at which rates were logged."""
    epoch_ends = {int(row["step"]) for row in rows if EPOCH_ERROR in row}
    return np.array(sorted({0, *epoch_ends} if epoch_ends else {0, *rates}))


def weight_rates(row: Row) -> dict[str, float]:
    """Learning rates of the weights by layer; biases may have other schedules."""
    names = [name for name in row if name.startswith(f"{RATE}/") and name.endswith(".weight")]
    return {name.removeprefix(f"{RATE}/").removesuffix(".weight"): row[name] for name in names}


def find_drops(run: TrainedRun, rates: list[tuple[int, dict[str, float]]], ends: np.ndarray) -> list[Drop]:
    """Find learning rate drops. `rates`: (step, rates of the weights by layer) as logged."""
    if run.cfg.schedule.name == "staged" and rates:
        stages: Any = OmegaConf.to_container(run.cfg.schedule.staged.stages, resolve=True)
        return staged_drops(stages, list(rates[0][1]), ends)
    drops = [Drop(step, describe_drop(before, now)) for (_, before), (step, now) in pairwise(rates)]
    return [drop for drop in drops if drop.label]


def staged_drops(stages: list[Any], layers: list[str], ends: np.ndarray) -> list[Drop]:
    """Drops at the starts of the stages so far."""
    schedule, drops = StagedSchedule(stages), []
    started = [stage["epoch"] for stage in stages if stage["epoch"] - 1 <= len(ends) - 1]
    for before, now in pairwise(started):
        rates = [
            {name: schedule.rate(f"{name}.weight", *schedule.rates(epoch)[:2]) for name in layers}
            for epoch in (before, now)
        ]
        step = float(np.interp(now - 1, np.arange(len(ends)), ends))
        drops.append(Drop(step, describe_drop(*rates)))
    return [drop for drop in drops if drop.label]


def describe_drop(before: dict[str, float], now: dict[str, float]) -> str:
    """Describe a drop: "÷10" if most layers have it, else each factor with the names of its layers; "" if no rate
    dropped."""
    layers: dict[str, list[str]] = {}
    for name in sorted(name for name in before if now.get(name, 0) < before[name]):
        factor = f"÷{before[name] / now[name]:.3g}" if now.get(name) else "stops"
        layers.setdefault(factor, []).append(name)
    common = max(layers, key=lambda factor: len(layers[factor]), default="")
    if len(layers.get(common, [])) > len(before) / 2:
        return common
    return "; ".join(f"{', '.join(names)} {factor}" for factor, names in layers.items())


def draw_training_curves(curves: TrainingCurves, theme: Theme) -> Figure:
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for name, (label, color, style) in lines.items():
            if name in curves.columns:
                steps, values = curves.columns[name]
                marker = "o" if len(values) == 1 else ""  # a line of one point would not be seen
                filled = "full" if style == "-" else "none"
                look = {"color": theme.series[color], "linewidth": 1.4, "marker": marker, "markersize": 4}
                axes.plot(curves.epochs(steps), values, style, label=label, fillstyle=filled, **look)
        axes.update_datalim([(0, 0)])  # the margin above is a share of the whole axis, also of curves that hardly fall
        axes.autoscale_view()
        axes.set(ylabel=title, xlabel="Epochs" if len(curves.ends) > 1 else "Steps", ylim=(0, None), xlim=(0, None))
        axes.grid(axis="y", linewidth=0.5)
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}  # a drop's line may be anywhere in the panel
        axes.legend(**below, ncols=len(lines), handlelength=1.6, columnspacing=1.2)
        mark_drops(axes, curves, theme)
    return figure


def mark_drops(axes: Axes, curves: TrainingCurves, theme: Theme) -> None:
    """Draw a line at each drop, with its label above the panel; the first one says what drops, left of its line, where
    no other label is."""
    above = axes.get_xaxis_transform()
    for number, drop in enumerate(curves.drops):
        x = float(curves.epochs(np.array([drop.step]))[0])
        axes.axvline(x, color=theme.ink, linewidth=0.8, linestyle=(0, (4, 3)))
        side, words = ("center", drop.label) if number else ("right", f"learning rate {drop.label}")
        axes.text(x, 1.01, words, transform=above, ha=side, va="bottom", fontsize=8)
