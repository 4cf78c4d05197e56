"""Figure 1 (§4.1) from run folders of configs/cifar10.yaml: epochs that ReLU and tanh networks need to 25 % error.

The training error of an epoch is the running one: the percentage of its images that the network got wrong when their
minibatch came, before it learned from them. It is drawn at the epoch's end, and between two epochs the line is
straight; where it crosses 25 % is the number of epochs.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.run_config import read_own_keys
from alexnet_pl.errors import UserError
from alexnet_pl.figures.style import Theme, save_drawing
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.runs.layout import CONFIG, METRICS
from alexnet_pl.runs.metrics_log import epochs_to, read_errors
from alexnet_pl.runs.provenance import read_sessions

LINE = 25.0  # percent, Figure 1's
CLAIM = BY_KEY["figure1"].values["epochs_to_25"]  # "six times faster"
STYLES = {"relu": ("ReLU", "-"), "tanh": ("tanh", "--")}  # solid and dashed, as printed


class Run(NamedTuple):
    """A run of the network of Figure 1: its settings and the training error of each epoch in percent."""

    folder: Path
    activation: str
    rate: float
    seed: int
    errors: list[float]

    @property
    def epochs(self) -> float | None:
        """Epochs until the error is down to the line, if it ever is."""
        return epochs_to(self.errors, LINE)


Group = list[Run]  # of one activation and rate, a run a seed


def find_runs(folders: Iterable[Path]) -> list[Run]:
    """The runs of Figure 1's network among `folders` and all below them; of two alike, the longer one."""
    found: dict[tuple[str, float, int], Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder")
        for path in sorted(folder.rglob(METRICS)):
            run = read_run(path.parent)
            if run is None:
                continue
            key = (run.activation, run.rate, run.seed)
            if key not in found or len(found[key].errors) < len(run.errors):
                found[key] = run
    if not found:
        raise UserError(f"{', '.join(map(str, folders))}: no run of configs/cifar10.yaml in there")
    return [found[key] for key in sorted(found)]


def read_run(folder: Path) -> Run | None:
    """None for a run of another network."""
    config = folder / CONFIG
    if not config.is_file():
        return None
    try:
        cfg: Any = OmegaConf.create(read_own_keys(config))
        if cfg.model.get("name") != "conv":
            return None
        settings = cfg.model.activation, float(cfg.optim.lr), int(cfg.seed)
    except (OmegaConfBaseException, AttributeError, ValueError) as error:
        raise UserError(f"{config}: not the config of a run ({str(error).splitlines()[0]})") from error
    return Run(folder, *settings, read_errors(folder / METRICS))


def grouped(runs: list[Run]) -> dict[tuple[str, float], Group]:
    groups: dict[tuple[str, float], Group] = {}
    for run in runs:
        groups.setdefault((run.activation, run.rate), []).append(run)
    return groups


def chosen(runs: list[Run]) -> dict[str, Group]:
    """Runs at the rate with the most seeds, by activation; the others belong to the search.

    Of equals the fastest, or where none arrived the one that was lowest after as many epochs as all of them have.
    """
    best: dict[str, Group] = {}
    for activation in sorted({run.activation for run in runs}):
        groups = [group for (name, _), group in grouped(runs).items() if name == activation]
        common = shared_epochs(groups)
        best[activation] = max(groups, key=lambda group: rank(group, common))
    return best


def rank(group: Group, epochs: int) -> tuple[float, ...]:
    error = mean(run.errors[epochs - 1] if run.errors else 100.0 for run in group)
    return len(group), -mean(run.epochs or float("inf") for run in group), -error


def shared_epochs(groups: Iterable[Group]) -> int:
    """Epochs that every run has, those that have none aside."""
    return min((len(run.errors) for group in groups for run in group if run.errors), default=0)


def ratios(relu: Group, tanh: Group) -> list[float]:
    """Epochs of tanh over epochs of ReLU, for each seed of which both reached the line."""
    fast = {run.seed: run.epochs for run in relu}
    pairs = [(run.epochs, fast.get(run.seed)) for run in tanh]
    return [slow / quick for slow, quick in pairs if slow and quick]


def spread(values: list[float]) -> str:
    """Mean ± standard deviation, or the one value there is."""
    return f"{mean(values):.2f} ± {stdev(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def figure1_page(runs: list[Run], picture: str, source: str) -> str:
    """The whole of figure1.md."""
    best = chosen(runs)
    lines = [
        "# Figure 1: ReLU against tanh on CIFAR-10",
        "",
        f"Written by `python -m alexnet_pl figures` from the run folders in {source}; nothing here is typed by hand.",
        "",
        f"![Training error against epochs]({picture})",
        "",
        *summary(best),
        "",
        *seeds(best),
        "",
        "## The search for the rates",
        "",
        *search(runs, best),
        "",
        "## How it was measured",
        "",
        *method(best),
    ]
    return "\n".join(lines) + "\n"


def summary(best: dict[str, Group]) -> Iterator[str]:
    found = ratios(best.get("relu", []), best.get("tanh", []))
    ours = f"{spread(found)}, {len(found)} seed{'s' * (len(found) != 1)}" if found else "not yet measured"
    yield "| | paper | ours |"
    yield "| --- | ---: | ---: |"
    for activation, name in (("relu", "ReLU"), ("tanh", "tanh")):
        epochs = [run.epochs for run in best.get(activation, []) if run.epochs]
        said = f"{spread(epochs)}, {len(epochs)} seed{'s' * (len(epochs) != 1)}" if epochs else "not yet measured"
        yield f"| epochs to {LINE:g} % training error, {name} | | {said} |"
    yield f"| how many times faster ReLUs are | {CLAIM:g} | {ours} |"
    yield ""
    yield "Mean ± standard deviation over seeds; the ratio is taken seed by seed."


def seeds(best: dict[str, Group]) -> Iterator[str]:
    """One row a seed."""
    runs = {(activation, run.seed): run for activation, group in best.items() for run in group}
    yield "| seed | ReLU, epochs | tanh, epochs | ratio |"
    yield "| ---: | ---: | ---: | ---: |"
    for seed in sorted({seed for _, seed in runs}):
        pair = [runs.get((activation, seed)) for activation in ("relu", "tanh")]
        both = [run.epochs for run in pair if run and run.epochs]
        ratio = f"{both[1] / both[0]:.2f}" if len(both) == 2 else ""
        yield f"| {seed} | {' | '.join(map(reached, pair))} | {ratio} |"


def reached(run: Run | None) -> str:
    if run is None or not run.errors:
        return "not run" if run is None else "no finished epoch"
    return f"{run.epochs:.2f}" if run.epochs else f"more than {len(run.errors)}"


def search(runs: list[Run], best: dict[str, Group]) -> Iterator[str]:
    """One row a rate, of its first seed; the errors of one activation are those after the same epoch."""
    first = {key: min(group, key=lambda run: run.seed) for key, group in grouped(runs).items()}
    yield "Each rate's run of the lowest seed. The rate is the weights'; the biases' is twice that."
    yield ""
    yield "| activation | rate | epochs to the line | training error % | |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for (activation, rate), run in sorted(first.items()):
        common = shared_epochs([[other] for key, other in first.items() if key[0] == activation])
        error = f" {run.errors[common - 1]:.1f} after {common}" if run.errors else ""
        mark = " chosen" if run in best[activation] else ""
        yield f"| {activation} | {rate:g} | {reached(run)} |{error} |{mark} |"


def method(best: dict[str, Group]) -> Iterator[str]:
    yield (
        "The training error of an epoch is the share of its images that the network got wrong when their minibatch "
        "came, before it learned from them; it is drawn at the epoch's end and joined by straight lines. A run ends "
        f"with the first epoch at or below {LINE:g} %."
    )
    yield ""
    for activation, group in sorted(best.items()):
        for facts in sorted({describe_run(run.folder) for run in group}):
            count = sum(describe_run(run.folder) == facts for run in group)
            yield f"- {activation}, {count} run{'s' * (count != 1)}: rate {group[0].rate:g}, {facts}"


def describe_run(run: Path) -> str:
    """Data, machine, precision, and commit of a run."""
    if not (sessions := read_sessions(run)):
        return "of unknown origin (no provenance.json)"
    session = sessions[0]
    precision = OmegaConf.create(read_own_keys(run / CONFIG)).trainer.precision
    changed = " with uncommitted changes" if session.changed_files else ""
    store, commit = session.store, (session.commit or "none")[:10]
    return f"{store.name} ({store.fingerprint[:12]}), {session.machine}, {precision}, commit {commit}{changed}"


def draw_figure1(groups: dict[str, Group], theme: Theme) -> Figure:
    """Training error against epochs, a thin line a run, and where each kind is down to 25 % on average."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(LINE, color=theme.right, linewidth=0.8)
    for activation, (name, style) in STYLES.items():
        runs = [run for run in groups.get(activation, []) if run.errors]
        for run in runs:
            label = f"{name}, {len(runs)} seed{'s' * (len(runs) != 1)}" if run is runs[0] else None
            epochs = range(1, len(run.errors) + 1)
            axes.plot(epochs, run.errors, style, color=theme.ink, linewidth=1, alpha=0.8, label=label)
        if there := [run.epochs for run in runs if run.epochs]:
            axes.plot(mean(there), LINE, "o", color=theme.right, markersize=5)
            axes.annotate(f"{mean(there):.1f} epochs", (mean(there), LINE), (4, 6), textcoords="offset points")
    axes.set(xlabel="Epochs", ylabel="Training error rate, %", ylim=(0, 80), xlim=(0, None))
    axes.yaxis.set_ticks([0, 25, 50, 75])
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    return figure


def write_figure1(folders: list[Path], out: Path) -> Path:
    """Draw figure1 and write figure1.md into `out`; returns the latter."""
    runs = find_runs(folders)
    best = chosen(runs)
    save_drawing(lambda theme: draw_figure1(best, theme), out / "figure1")
    path = out / "figure1.md"
    path.write_text(figure1_page(runs, "figure1.png", " and ".join(f"`{folder.name}`" for folder in folders)))
    return path
