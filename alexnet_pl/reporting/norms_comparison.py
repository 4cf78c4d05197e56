"""§4.3: CIFAR-10 test errors with and without normalization, by seed: `curves RUN [RUN ...] norms=true`.

"A four-layer CNN achieved a 13 % test error rate without normalization and 11 % with normalization." Reads tested runs
of configs/cifar10_13pct.yaml and cifar10_11pct.yaml in or below the folders and prints Markdown.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.config.identity import Settings
from alexnet_pl.console import pluralize
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.intervals import Sample, mean_ci
from alexnet_pl.evaluation.result import TestResult
from alexnet_pl.paper import matching
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.paper.results import TestRun, collect_tests
from alexnet_pl.runs.fit_status import differences
from alexnet_pl.runs.provenance import read_sessions
from alexnet_pl.table import Table, to_markdown

PAPER_ERRORS = {norm: BY_KEY[key].values["top1_error"] for norm, key in ((False, "cifar.13pct"), (True, "cifar.11pct"))}
SCHEDULE = 520  # epochs in configs/cifar10_13pct.yaml
MEAN = "mean (95 % interval)"
LENGTH = ("trainer.max_epochs", "data.include_val_after_epoch", "schedule.drops")
"""Settings of a shorter schedule, which the heading of a table gives."""
HEAD = """# 13 % to 11 %: response normalization on CIFAR-10

§4.3: "a four-layer CNN achieved a 13 % test error rate without normalization and 11 % with normalization." Written by
`python -m alexnet_pl curves RUN [RUN ...] norms=true` from run folders.

Norms are not the only difference between the authors' two files: the network of 11 % also has 64 instead of 32 maps in
local3, and a weight decay of 0.01 instead of 0.004 in fc10. The norms alone (`cifar10_11pct` with `model.norm=false`)
are not yet measured.
"""


class CifarTest(NamedTuple):
    """Test of one network. `error`: top-1, percent; `settings`: schedule, store and views, in words."""

    norm: bool
    epochs: int
    seed: int | None
    error: float
    settings: str


def read_cifar_test(test: TestRun) -> CifarTest | None:
    """Test of a network of the two recipes; None for any other or an unfinished fit."""
    result, training = test.result, test.result.training
    if not training or training["model"].get("name") != "local" or not (result.finished and test.is_complete):
        return None
    epochs = training["trainer"]["max_epochs"] if result.trained.epochs is None else result.trained.epochs
    if "norm" not in training["model"] or epochs is None:  # of another version
        return None
    return CifarTest(
        training["model"]["norm"],
        epochs,
        result.seed,
        result.top1_error,
        describe_settings(result, training) + describe_precision(test.run),
    )


def describe_precision(run: Path) -> str:
    """Precision of a run's fit, with a comma before it; empty if it was not recorded, as in older runs."""
    sessions = read_sessions(run)
    return f", {sessions[0].precision}" if sessions and sessions[0].precision else ""


def describe_settings(result: TestResult, training: Settings) -> str:
    drops = " and ".join(map(str, training["schedule"].get("drops", [])))
    folded = training["data"].get("include_val_after_epoch")
    schedule = f"all images after {folded} epochs, rates divided by ten with epochs {drops}"
    images = (
        f"{result.dataset.name} ({result.dataset.fingerprint[:12]}), {result.images:,} {result.dataset.split} images"
    )
    return f"{schedule}; {images}, {result.views} views{other_settings(training['model']['norm'], training)}"


def other_settings(norm: bool, training: Settings) -> str:
    """Settings of a run that differ from its recipe, in words, except the length of the schedule."""
    claim = BY_KEY["cifar.11pct" if norm else "cifar.13pct"]
    (network,) = matching.recipe_networks(str(claim.recipe), claim.overrides)
    differing = [key for key in differences(network.training, training) if key not in LENGTH]
    return f"; not the recipe's {', '.join(differing)}" if differing else ""


def norm_tables(runs: list[CifarTest]) -> Iterator[str]:
    """One table per schedule and data set; only the full schedule reproduces the claim."""
    for epochs, settings in sorted({(run.epochs, run.settings) for run in runs}, reverse=True):
        group = [run for run in runs if (run.epochs, run.settings) == (epochs, settings)]
        part = "" if epochs == SCHEDULE else f" of the {SCHEDULE} of the schedule"
        without, normed = PAPER_ERRORS[False], PAPER_ERRORS[True]
        rows = [["paper", *(f"{value:g}" for value in (without, normed, without - normed))]]
        errors = {(run.norm, run.seed): run.error for run in group}
        seeds = sorted({run.seed for run in group if run.seed is not None})
        rows += [seed_row(seed, [errors.get((norm, seed)) for norm in (False, True)]) for seed in seeds]
        both = [
            (errors[False, seed], errors[True, seed]) for seed in seeds if {(False, seed), (True, seed)} <= {*errors}
        ]
        if len(both) > 1:
            columns = [*zip(*both, strict=True), [without - normed for without, normed in both]]
            rows.append([MEAN, *map(format_mean, columns)])
        header = ["seed", "13 % network, no norms, %", "11 % network, norms, %", "difference"]
        yield f"{pluralize(epochs, 'epoch')}{part}; {settings}:\n"
        yield to_markdown([Table("", header, rows, align="rrrr")])


def format_mean(values: Sequence[float]) -> str:
    """Mean over seeds with its interval."""
    found = mean_ci(Sample(values))
    return f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})"


def seed_row(seed: int, pair: list[float | None]) -> list[str]:
    without, normed = pair
    difference = f"{without - normed:.2f}" if without is not None and normed is not None else ""
    cells = ["not yet measured" if error is None else f"{error:.2f}" for error in pair]
    return [str(seed), *cells, difference]


def norms_page(folders: list[Path]) -> str:
    """The page. Raises UserError if the folders contain no tested run of the two recipes."""
    runs = [run for run in map(read_cifar_test, collect_tests(folders)) if run]
    if not runs:
        searched = ", ".join(map(str, folders))
        raise UserError(f"norms=true: no finished and tested run of cifar10_13pct or cifar10_11pct in {searched}")
    return "\n".join([HEAD, *norm_tables(runs)])
