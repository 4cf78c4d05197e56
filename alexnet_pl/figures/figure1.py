"""Figure 1 (§4.1) from run folders of configs/cifar10.yaml: epochs that ReLU and tanh networks need to 25 % error.

The training error of an epoch is the running one: the percentage of its images that the network misclassified when
their minibatch came, before the update. It is drawn at the end of the epoch. The number of epochs is where the line
between two epochs crosses 25 %.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from matplotlib.figure import Figure
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.identity import training_signature
from alexnet_pl.console import pluralize
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.intervals import Sample, mean_ci
from alexnet_pl.figures.picture import picture_lines
from alexnet_pl.figures.style import Theme, save_drawing
from alexnet_pl.paper.claim import FIGURE1_ERROR
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.paper.matching import recipe_networks
from alexnet_pl.runs.fit_status import differences
from alexnet_pl.runs.layout import METRICS, collect_runs, read_config
from alexnet_pl.runs.metrics_log import epochs_to, read_errors
from alexnet_pl.runs.provenance import read_sessions
from alexnet_pl.table import Table, to_markdown

CLAIM = BY_KEY["figure1"].values["epochs_to_25"]  # "six times faster"
VARIED = {"model.activation", "optim.lr", "trainer.max_epochs"}  # settings in which runs may differ from the recipe
STYLES = {"relu": ("ReLU", "-"), "tanh": ("tanh", "--")}  # solid and dashed, as printed


class Figure1Run(NamedTuple):
    """Run of the network of Figure 1: its settings, and the training error of each epoch in percent."""

    folder: Path
    activation: str
    rate: float
    seed: int
    errors: list[float]

    @property
    def epochs(self) -> float | None:
        """Epochs until the error reaches the line; None if it does not."""
        return epochs_to(self.errors, FIGURE1_ERROR)


SEARCH_NOTE = """\
Each rate's run of the lowest seed. The rate is that of the weights; biases use twice that. “Chosen” marks the rate used
above. “More than N” means that the run was stopped after N epochs, so its rate may reach the line in fewer epochs than
the chosen one."""

Group = list[Figure1Run]  # runs of one activation and rate, one per seed


def find_runs(folders: Iterable[Path]) -> list[Figure1Run]:
    """Find the runs of Figure 1's network in `folders` and below; of two with the same settings, the longer one.

    Raises UserError if a folder does not exist, or if there is no such run.
    """
    runs: dict[tuple[str, float, int], Figure1Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        for found in collect_runs([folder], METRICS):
            if not (settings := read_settings(found)):
                continue
            run = Figure1Run(found, *settings, read_errors(found / METRICS))
            key = (run.activation, run.rate, run.seed)
            if key not in runs or len(runs[key].errors) < len(run.errors):
                runs[key] = run
    if not runs:
        raise UserError(f"{', '.join(map(str, folders))}: no run with the settings of configs/cifar10.yaml found")
    return [runs[key] for key in sorted(runs)]


def read_settings(folder: Path) -> tuple[str, float, int] | None:
    """(activation, rate, seed) of a run; None if it is not one of CIFAR-10 with the settings of configs/cifar10.yaml
    apart from `VARIED`, or if its config cannot be read."""
    try:
        cfg = read_config(folder)
        if cfg.model.get("name") != "conv" or not follows_recipe(cfg):
            return None
        return str(cfg.model.activation), float(cfg.optim.lr), int(cfg.seed)
    except (UserError, OmegaConfBaseException, AttributeError, KeyError, TypeError, ValueError):
        return None  # keys are missing, or of another type


def follows_recipe(cfg: DictConfig) -> bool:
    (recipe,) = recipe_networks("cifar10")
    return cfg.data.name == recipe.images and not other_settings(cfg)


def other_settings(cfg: DictConfig) -> list[str]:
    """Keys in which a run differs from configs/cifar10.yaml, apart from `VARIED`."""
    (recipe,) = recipe_networks("cifar10")
    return [key for key in differences(recipe.training, training_signature(cfg)) if key not in VARIED]


def explain_left_out(folder: Path) -> str | None:
    """Reason why a CIFAR-10 run with Figure 1's network is not in the figure; None for other runs."""
    try:
        cfg = read_config(folder)
        if (cfg.model.get("name"), cfg.data.name) == ("conv", "cifar10") and (keys := other_settings(cfg)):
            return f"{folder} differs from configs/cifar10.yaml in {', '.join(keys)}"
    except (UserError, OmegaConfBaseException, AttributeError, KeyError, TypeError, ValueError):
        pass  # keys are missing, or of another type
    return None


def group_runs(runs: list[Figure1Run]) -> dict[tuple[str, float], Group]:
    groups: dict[tuple[str, float], Group] = {}
    for run in runs:
        groups.setdefault((run.activation, run.rate), []).append(run)
    return groups


def choose_rates(runs: list[Figure1Run]) -> dict[str, Group]:
    """Choose, for each activation, the rate with the most seeds; other rates belong to the search.

    Ties go to the fastest, or if no run reached the line, to the lowest error after the epochs that all runs have.
    """
    best: dict[str, Group] = {}
    for activation in sorted({run.activation for run in runs}):
        groups = [group for (name, _), group in group_runs(runs).items() if name == activation]
        common = count_shared_epochs(groups)
        best[activation] = max(groups, key=lambda group: rank_group(group, common))
    return best


def rank_group(group: Group, epochs: int) -> tuple[float, ...]:
    error = mean(run.errors[epochs - 1] if run.errors else 100.0 for run in group)
    return len(group), -mean(run.epochs or float("inf") for run in group), -error


def count_shared_epochs(groups: Iterable[Group]) -> int:
    """Number of epochs that all runs have, except runs without any."""
    return min((len(run.errors) for group in groups for run in group if run.errors), default=0)


def speed_ratios(relu: Group, tanh: Group) -> list[float]:
    """Ratio of tanh's to ReLU's epochs, for each seed with which both reached the line."""
    fast = {run.seed: run.epochs for run in relu}
    pairs = [(run.epochs, fast.get(run.seed)) for run in tanh]
    return [slow / quick for slow, quick in pairs if slow and quick]


def format_mean(values: list[float]) -> str:
    """Mean with its 95 % interval over seeds, or the value of a single seed."""
    if not values:
        return "not yet measured"
    found = mean_ci(Sample(values))
    interval = f" ({found.low:.2f} to {found.high:.2f})" if found.runs > 1 else ""
    return f"{found.mean:.2f}{interval}, {pluralize(found.runs, 'seed')}"


def figure1_page(runs: list[Figure1Run], picture: str, folders: Iterable[Path]) -> str:
    """Content of figure1.md. `picture`: name of its files; `folders`: those that the runs were found in."""
    best, source = choose_rates(runs), " and ".join(f"`{folder.name}`" for folder in folders)
    lines = [
        "# Figure 1: ReLU against tanh on CIFAR-10",
        "",
        f"Written by `python -m alexnet_pl figures` from the run folders in {source}.",
        "",
        *picture_lines(".", picture, describe_picture(best)),
        "",
        to_markdown([summary_table(best), seed_table(best)]),
        "## The search for the rates",
        "",
        SEARCH_NOTE,
        "",
        to_markdown([search_table(runs, best)]),
        "## How it was measured",
        "",
        *method_lines(best),
    ]
    return "\n".join(lines) + "\n"


def describe_picture(best: dict[str, Group]) -> str:
    """Words for readers who do not see the picture."""
    shown = ", ".join(
        f"{name} {pluralize(len(best[activation]), 'seed')}"
        for activation, (name, _) in STYLES.items()
        if activation in best
    )
    return f"Training error on CIFAR-10 against epochs, one curve per seed: {shown}; a line at {FIGURE1_ERROR:g} %"


def summary_table(best: dict[str, Group]) -> Table:
    rows = []
    for activation, (name, _) in STYLES.items():
        group = best.get(activation, [])
        ours = format_mean([run.epochs for run in group if run.epochs])
        if missed := sum(not run.epochs for run in group):
            ours += f"; {missed} of {pluralize(len(group), 'seed')} did not reach it"
        rows.append([f"epochs to {FIGURE1_ERROR:g} % training error, {name}", "", ours])
    ratios = speed_ratios(best.get("relu", []), best.get("tanh", []))
    rows.append(["how many times faster ReLUs are", f"{CLAIM:g}", format_mean(ratios)])
    note = "Mean (95 % interval over seeds); the ratio is taken seed by seed."
    return Table("", ["", "paper", "ours"], rows, (note,), "lrr")


def seed_table(best: dict[str, Group]) -> Table:
    """Table with one row per seed."""
    runs = {(activation, run.seed): run for activation, group in best.items() for run in group}
    rows = []
    for seed in sorted({seed for _, seed in runs}):
        pair = [runs.get((activation, seed)) for activation in ("relu", "tanh")]
        both = [run.epochs for run in pair if run and run.epochs]
        ratio = f"{both[1] / both[0]:.2f}" if len(both) == 2 else ""
        rows.append([str(seed), *map(format_epochs, pair), ratio])
    return Table("", ["seed", "ReLU, epochs", "tanh, epochs", "ratio"], rows, align="rrrr")


def format_epochs(run: Figure1Run | None) -> str:
    if run is None or not run.errors:
        return "not run" if run is None else "no finished epoch"
    return f"{run.epochs:.2f}" if run.epochs else f"more than {len(run.errors)}"


def search_table(runs: list[Figure1Run], best: dict[str, Group]) -> Table:
    """Table with one row per rate, for its first seed; errors of one activation are after the same epoch."""
    first = {key: min(group, key=lambda run: run.seed) for key, group in group_runs(runs).items()}
    rows = []
    for (activation, rate), run in sorted(first.items()):
        common = count_shared_epochs([[other] for key, other in first.items() if key[0] == activation])
        error = f"{run.errors[common - 1]:.1f} after {common}" if run.errors else ""
        mark = "chosen" if run in best[activation] else ""
        rows.append([activation, f"{rate:g}", format_epochs(run), error, mark])
    return Table("", ["activation", "rate", "epochs to the line", "training error %", ""], rows, align="lrrrl")


def method_lines(best: dict[str, Group]) -> Iterator[str]:
    yield (
        "The training error of an epoch is the share of its images that the network got wrong when their minibatch "
        "came, before it learned from them; it is drawn at the epoch's end and joined by straight lines. A run ends "
        f"with the first epoch at or below {FIGURE1_ERROR:g} %."
    )
    yield ""
    for activation, group in sorted(best.items()):
        for description in sorted({describe_run(run.folder) for run in group}):
            count = sum(describe_run(run.folder) == description for run in group)
            yield f"- {activation}, {pluralize(count, 'run')}: rate {group[0].rate:g}, {description}"


def describe_run(run: Path) -> str:
    sessions = read_sessions(run)
    return sessions[0].describe() if sessions else "of unknown origin (no provenance.json)"


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
    path.write_text(figure1_page(runs, "figure1", folders), encoding="utf-8")
    return path
