"""Page of Figure 1 (§4.1): epochs to 25 % error with intervals, by seed and by rate, and how they were measured."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from alexnet_pl.console import pluralize
from alexnet_pl.evaluation.intervals import Sample, mean_ci
from alexnet_pl.figures.figure1_runs import (
    Figure1Run,
    Group,
    choose_rates,
    count_shared_epochs,
    group_runs,
    speed_ratios,
)
from alexnet_pl.figures.picture import picture_lines
from alexnet_pl.paper.claim import FIGURE1_ERROR
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.runs.provenance import read_sessions
from alexnet_pl.table import Table, to_markdown

CLAIM = BY_KEY["figure1"].values["epochs_to_25"]  # "six times faster"
STYLES = {"relu": ("ReLU", "-"), "tanh": ("tanh", "--")}  # solid and dashed, as printed

SEARCH_NOTE = """\
Each rate's run of the lowest seed. The rate is that of the weights; biases use twice that. “Chosen” marks the rate used
above. “More than N” means that the run was stopped after N epochs, so its rate may reach the line in fewer epochs than
the chosen one."""


def format_epochs_mean(values: list[float]) -> str:
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
        ours = format_epochs_mean([run.epochs for run in group if run.epochs])
        if missed := sum(not run.epochs for run in group):
            ours += f"; {missed} of {pluralize(len(group), 'seed')} did not reach it"
        rows.append([f"epochs to {FIGURE1_ERROR:g} % training error, {name}", "", ours])
    ratios = speed_ratios(best.get("relu", []), best.get("tanh", []))
    rows.append(["how many times faster ReLUs are", f"{CLAIM:g}", format_epochs_mean(ratios)])
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
