"""Chart of `bench`: throughput of this package and of third-party programs, and each stage beside its roofline."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_pl.figures.style import THEMES, Theme
from alexnet_pl.json_records import JsonObject

Bar = tuple[str, float]
"""(label, value)."""


def save_bench_chart(path: Path, measured: JsonObject) -> None:
    """Draw results of `measure_training` as `path`, a PNG, and for dark pages beside it."""
    for theme in THEMES:
        with rc_context(theme.settings):
            draw_bench_chart(measured, theme).savefig(path.with_stem(f"{path.stem}{theme.suffix}"))


def draw_bench_chart(measured: JsonObject, theme: Theme) -> Figure:
    stage, loaders = measured["stages"], measured["feeding"]
    steps = [(name, stage["batch_size"] / seconds) for name, seconds in measured["steps"].items()]
    stages = list(stage["milliseconds"].items())
    figure = Figure(figsize=(8, 9), layout="constrained")
    upper, middle, lower = figure.subplots(3, 1, height_ratios=[len(loaders) + 2, len(steps) + 2, len(stages) + 2])
    draw_loaders(upper, loaders, theme)
    draw_bars(middle, f"Training steps, batches of {stage['batch_size']}, images/s", steps, theme)
    title = "Stages of a step, ms (line: roofline of this machine, where it was measured)"
    draw_bars(lower, title, stages, theme, stage["rooflines"])
    host = measured["machine"]
    figure.suptitle(f"{host['gpu'] or host['cpu']}, {host['cores']} cores, torch {host['torch']}", fontsize=10)
    return figure


def draw_loaders(axes: Axes, loaders: JsonObject, theme: Theme) -> None:
    """Draw dots, not bars, since a logarithmic axis has no zero that a bar could start at."""
    for height, (name, rate) in enumerate(loaders.items()):
        color = theme.series[0] if is_ours(name) else theme.other
        axes.plot([rate["low"], rate["high"]], [height, height], "|-", color=color, linewidth=1.2, markersize=7)
        axes.plot(rate["median"], height, "o", color=color, markersize=5)
        write_value(axes, rate["high"], height, describe_rate(rate))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    label_rows(axes, "Images to the network, images/s, logarithmic (median, slowest and fastest round)", list(loaders))


def describe_rate(rate: dict[str, float]) -> str:
    """The median, with its range if the rounds differ by more than a factor of two."""
    median, low, high = (format_value(rate[name]) for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})" if rate["high"] > 2 * rate["low"] else median


def is_ours(name: str) -> bool:
    return name.startswith("ours")


def draw_bars(axes: Axes, title: str, bars: list[Bar], theme: Theme, rooflines: dict[str, float] | None = None) -> None:
    """Draw bars, those of other programs in gray. `rooflines`: of the bars, all of which are then this package's."""
    for height, (name, value) in enumerate(bars):
        own = rooflines is not None or is_ours(name)
        axes.barh(height, value, color=theme.series[0] if own else theme.other)
        floor = (rooflines or {}).get(name, 0.0)
        if floor:
            axes.plot([floor, floor], [height - 0.4, height + 0.4], color=theme.right, linewidth=2)
        write_value(axes, max(value, floor), height, format_value(value))
    label_rows(axes, title, [name for name, _ in bars])


def write_value(axes: Axes, x: float, height: float, value: str) -> None:
    """Write a number to the right of everything that is drawn in its row."""
    axes.annotate(value, (x, height), (6, 0), textcoords="offset points", va="center", fontsize=8)


def format_value(value: float) -> str:
    if value < 0.1:
        return f"{value:.1g}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def label_rows(axes: Axes, title: str, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(axis="x", labelsize=8)
