"""Figure 1 (§4.1) from run folders of configs/cifar10.yaml: epochs that ReLU and tanh networks need to 25 % error.

The training error of an epoch is the running one: the percentage of its images that the network misclassified when
their minibatch came, before the update. It is drawn at the end of the epoch. The number of epochs is where the line
between two epochs crosses 25 %.
"""

from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from alexnet_pl.console import pluralize
from alexnet_pl.figures.figure1_page import STYLES, figure1_page
from alexnet_pl.figures.figure1_runs import Group, choose_rates, find_runs
from alexnet_pl.figures.style import Theme, save_drawing
from alexnet_pl.files import write_page
from alexnet_pl.paper.claim import FIGURE1_ERROR


def draw_figure1(groups: dict[str, Group], theme: Theme) -> Figure:
    """Draw training error against epochs, one line per run, and the mean epochs to 25 % of each activation."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(FIGURE1_ERROR, color=theme.right, linewidth=0.8)
    labels = []
    for activation, (name, style) in STYLES.items():
        runs = [run for run in groups.get(activation, []) if run.errors]
        for run in runs:
            label = f"{name}, {pluralize(len(runs), 'seed')}" if run is runs[0] else None
            epochs = range(1, len(run.errors) + 1)
            axes.plot(epochs, run.errors, style, color=theme.ink, linewidth=1, alpha=0.8, label=label)
        if epochs_to_line := [run.epochs for run in runs if run.epochs]:
            axes.plot(mean(epochs_to_line), FIGURE1_ERROR, "o", color=theme.right, markersize=5)
            at = mean(epochs_to_line), FIGURE1_ERROR
            labels.append(axes.annotate(f"{at[0]:.1f} epochs", at, (4, 6), textcoords="offset points"))
    axes.set(xlabel="Epochs", ylabel="Training error rate, %", ylim=(0, 80), xlim=(0, None))
    axes.yaxis.set_ticks([0, 25, 50, 75])
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    for label in labels:
        if label.xy[0] > axes.get_xlim()[1] / 2:  # it would run past the end of the axis; below, no curve crosses it
            label.set(position=(4, -6), horizontalalignment="right", verticalalignment="top")
    return figure


def write_figure1(folders: list[Path], out: Path) -> Path:
    """Draw figure1 and write figure1.md into `out`; return the path of the latter."""
    runs = find_runs(folders)
    best = choose_rates(runs)
    save_drawing(lambda theme: draw_figure1(best, theme), out / "figure1")
    path = out / "figure1.md"
    write_page(path, figure1_page(runs, "figure1", folders))
    return path
