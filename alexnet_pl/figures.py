"""The paper's figures, drawn from run folders: Figure 1 (§4.1)."""

from pathlib import Path
from statistics import mean

import matplotlib

matplotlib.use("agg")  # no window, on any machine
from matplotlib import pyplot as plt

from alexnet_pl.figure1 import LINE, Group

STYLES = {"relu": ("ReLU", "-", "black"), "tanh": ("tanh", "--", "black")}  # solid and dashed, as printed


def draw_figure1(groups: dict[str, Group], path: Path) -> None:
    """Training error against epochs, a thin line a run, and where each kind is down to 25 % on average."""
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    axes.axhline(LINE, color="tab:red", linewidth=0.8)
    for activation, (name, style, colour) in STYLES.items():
        runs = [run for run in groups.get(activation, []) if run.errors]
        for run in runs:
            label = f"{name}, {len(runs)} seed{'s' * (len(runs) != 1)}" if run is runs[0] else None
            epochs = range(1, len(run.errors) + 1)
            axes.plot(epochs, run.errors, style, color=colour, linewidth=1, alpha=0.8, label=label)
        if there := [run.epochs for run in runs if run.epochs]:
            axes.plot(mean(there), LINE, "o", color="tab:red", markersize=5)
            axes.annotate(f"{mean(there):.1f} epochs", (mean(there), LINE), (4, 6), textcoords="offset points")
    axes.set(xlabel="Epochs", ylabel="Training error rate, %", ylim=(0, 80), xlim=(0, None))
    axes.yaxis.set_ticks([0, 25, 50, 75])
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
