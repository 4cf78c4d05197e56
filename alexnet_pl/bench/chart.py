"""Chart of `bench`: throughput of this package and of third-party programs, and each stage beside its roofline."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_pl.bench.targets import robust_rate
from alexnet_pl.files import JsonObject

OURS, OTHERS, ROOFLINE = "#4c72b0", "#b0b0b0", "#c44e52"
Bar = tuple[str, float, bool]
"""(label, value, whether it is this package's)."""


def draw_bench_chart(path: Path, measured: JsonObject) -> None:
    stage = measured["stages"]
    loaders = [(name, robust_rate(each), is_ours(name)) for name, each in measured["feeding"].items()]
    steps = [(name, stage["batch_size"] / seconds, is_ours(name)) for name, seconds in measured["steps"].items()]
    stages = [(name, milliseconds, True) for name, milliseconds in stage["milliseconds"].items()]
    figure = Figure(figsize=(8, 9), layout="constrained")
    heights = [len(loaders) + 2, len(steps) + 2, len(stage["milliseconds"]) + 2]
    upper, middle, lower = figure.subplots(3, 1, height_ratios=heights)
    chart_bars(upper, "Images to the network, images/s", loaders)
    upper.set_xscale("log")
    chart_bars(middle, f"Training steps, batches of {stage['batch_size']}, images/s", steps)
    chart_bars(lower, "Stages of a step, ms (red: roofline of this machine)", stages)
    for height, name in enumerate(stage["milliseconds"]):
        if name in stage["rooflines"]:
            lower.plot([stage["rooflines"][name]] * 2, [height - 0.4, height + 0.4], color=ROOFLINE, linewidth=2)
    host = measured["machine"]
    figure.suptitle(f"{host['gpu'] or host['cpu']}, {host['cores']} cores, torch {host['torch']}", fontsize=10)
    figure.savefig(path, dpi=130)


def is_ours(name: str) -> bool:
    return name.startswith("ours")


def chart_bars(axes: Axes, title: str, bars: list[Bar]) -> None:
    names, values, ours = zip(*bars, strict=True)
    colors = [OURS if own else OTHERS for own in ours]
    drawn = axes.barh(range(len(bars)), values, color=colors)
    axes.bar_label(
        drawn, [f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in values], padding=3, fontsize=8
    )
    axes.set_yticks(range(len(bars)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
