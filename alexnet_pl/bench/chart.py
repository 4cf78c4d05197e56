"""Chart of `bench`: throughput of this package and of other programs, and each stage beside its roofline."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_pl.bench.targets import steady

OURS, OTHERS, FLOOR = "#4c72b0", "#b0b0b0", "#c44e52"
Bar = tuple[str, float]


def draw_bench_chart(path: Path, found: dict[str, Any]) -> None:
    stage = found["stages"]
    feeds = [(name, steady(each)) for name, each in found["feeding"].items()]
    steps = [(name, stage["batch_size"] / seconds) for name, seconds in found["steps"].items()]
    figure = Figure(figsize=(8, 9), layout="constrained")
    heights = [len(feeds) + 2, len(steps) + 2, len(stage["milliseconds"]) + 2]
    upper, middle, lower = figure.subplots(3, 1, height_ratios=heights)
    chart_bars(upper, "Images to the network, images/s", feeds)
    upper.set_xscale("log")
    chart_bars(middle, f"Training steps, batches of {stage['batch_size']}, images/s", steps)
    chart_bars(
        lower, "Stages of a step, ms (red: the floor that this machine sets)", list(stage["milliseconds"].items())
    )
    for height, name in enumerate(stage["milliseconds"]):
        if name in stage["floors"]:
            lower.plot([stage["floors"][name]] * 2, [height - 0.4, height + 0.4], color=FLOOR, linewidth=2)
    host = found["machine"]
    figure.suptitle(f"{host['gpu'] or host['cpu']}, {host['cores']} cores, torch {host['torch']}", fontsize=10)
    figure.savefig(path, dpi=130)


def chart_bars(axes: Axes, title: str, found: list[Bar]) -> None:
    names, values = zip(*found, strict=True)
    plain = "," not in "".join(names)  # stages, all of them ours
    colours = [OURS if plain or name.startswith("ours") else OTHERS for name in names]
    drawn = axes.barh(range(len(found)), values, color=colours)
    axes.bar_label(
        drawn, [f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in values], padding=3, fontsize=8
    )
    axes.set_yticks(range(len(found)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
