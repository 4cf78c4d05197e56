"""§4.3: CIFAR-10 test errors with and without normalization, by seed: `curves RUN [RUN ...] norms=true`.

"A four-layer CNN achieved a 13 % test error rate without normalization and 11 % with normalization." Reads tested runs
of configs/cifar10_13pct.yaml and cifar10_11pct.yaml in or below the folders, and of the latter without its norms, and
prints Markdown.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.views import describe_views
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

WITHOUT, NORMED, ALONE = "13pct", "11pct", "11pct without norms"
NETWORKS = {  # recipe and overrides of each network
    WITHOUT: ("cifar10_13pct", ()),
    NORMED: ("cifar10_11pct", ()),
    ALONE: ("cifar10_11pct", ("model.norm=false",)),
}
PAPER_ERRORS = {name: BY_KEY[f"cifar.{name}"].values["top1_error"] for name in (WITHOUT, NORMED)}
SCHEDULE = 520  # epochs in configs/cifar10_13pct.yaml
MEAN = "mean (95 % interval)"
LENGTH = ("trainer.max_epochs", "data.include_val_after_epoch", "schedule.drops")
"""Settings of a shorter schedule, which the heading of a table gives."""
HEAD = """# 13 % to 11 %: response normalization on CIFAR-10

§4.3: "a four-layer CNN achieved a 13 % test error rate without normalization and 11 % with normalization." Written by
`python -m alexnet_pl curves RUN [RUN ...] norms=true` from run folders. The paper does not say from which views; the
recipes test nine, a grid without reflections (`test.views`).

Norms are not the only difference between the authors' two files: the network of 11 % also has 64 instead of 32 maps in
local3, and a weight decay of 0.01 instead of 0.004 in fc10. The norms alone (`cifar10_11pct` with `model.norm=false`)
"""
NORMS_MISSING = "are not yet measured.\n"
NORMS_MEASURED = "are in the last two columns.\n"
HEADER = ["seed", "13 % network, no norms, %", "11 % network, norms, %", "difference"]
HEADER_ALONE = ["11 % network without norms, %", "difference by the norms alone"]


class CifarTest(NamedTuple):
    """Test of one network. `error`: top-1, percent; `settings`: schedule, store and views, in words."""

    network: str  # of NETWORKS
    epochs: int
    seed: int | None
    error: float
    settings: str


def read_cifar_test(test: TestRun) -> CifarTest | None:
    """Test of a network of NETWORKS; None for any other or an unfinished fit."""
    result, training = test.result, test.result.training
    if not training or training["model"].get("name") != "local" or not (result.finished and test.is_complete):
        return None
    epochs = training["trainer"]["max_epochs"] if result.trained.epochs is None else result.trained.epochs
    if "norm" not in training["model"] or epochs is None:  # of another version
        return None
    network = nearest_network(training)
    settings = describe_settings(result, training) + other_settings(network, training) + describe_precision(test.run)
    return CifarTest(network, epochs, result.seed, result.top1_error, settings)


def nearest_network(training: Settings) -> str:
    """The network of NETWORKS from which a run differs in the fewest settings."""
    return min(NETWORKS, key=lambda network: len(changed_settings(network, training)))


def changed_settings(network: str, training: Settings) -> list[str]:
    """Settings of a run that differ from those of a network, except the length of the schedule."""
    return [key for key in differences(settings_of(network), training) if key not in LENGTH]


@functools.cache
def settings_of(network: str) -> Settings:
    (found,) = matching.recipe_networks(*NETWORKS[network])
    return found.training


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
    return f"{schedule}; {images}, {describe_views(result.views)}"


def other_settings(network: str, training: Settings) -> str:
    """Settings of a run that differ from its recipe, in words, except the length of the schedule."""
    changed = changed_settings(network, training)
    return f"; not the recipe's {', '.join(changed)}" if changed else ""


def norm_tables(runs: list[CifarTest]) -> Iterator[str]:
    """One table per schedule and data set; only the full schedule reproduces the claim."""
    for epochs, settings in sorted({(run.epochs, run.settings) for run in runs}, reverse=True):
        group = [run for run in runs if (run.epochs, run.settings) == (epochs, settings)]
        part = "" if epochs == SCHEDULE else f" of the {SCHEDULE} of the schedule"
        yield f"{pluralize(epochs, 'epoch')}{part}; {settings}:\n"
        yield to_markdown([norm_table(group)])


def norm_table(group: list[CifarTest]) -> Table:
    """Errors of runs that share all but network and seed, by seed. The columns of the norms alone are left out if no
    run measures them."""
    errors = {(run.network, run.seed): run.error for run in group}
    seeds = sorted({run.seed for run in group if run.seed is not None})
    without, normed = PAPER_ERRORS[WITHOUT], PAPER_ERRORS[NORMED]
    rows = [["paper", f"{without:g}", f"{normed:g}", f"{without - normed:g}", "", ""]]
    rows += [seed_row(seed, errors) for seed in seeds]
    means = [*mean_cells(errors, seeds, WITHOUT), *mean_cells(errors, seeds, ALONE)]
    if any(means):  # the error with norms is that of the seeds in the first comparison, if there is one
        rows.append([MEAN, means[0], means[1] or means[4], means[2], means[3], means[5]])
    columns = 6 if any(run.network == ALONE for run in group) else 4
    return Table("", [*HEADER, *HEADER_ALONE][:columns], [row[:columns] for row in rows], align="r" * columns)


def mean_cells(errors: dict[tuple[str, int | None], float], seeds: Sequence[int], base: str) -> list[str]:
    """Means of the errors of `base` and of the network with norms, and of their difference, over the seeds of both."""
    pairs = [
        (errors[base, seed], errors[NORMED, seed]) for seed in seeds if {(base, seed), (NORMED, seed)} <= {*errors}
    ]
    if len(pairs) < 2:
        return ["", "", ""]
    return [format_mean(values) for values in (*zip(*pairs, strict=True), [one - other for one, other in pairs])]


def format_mean(values: Sequence[float]) -> str:
    """Mean over seeds with its interval."""
    found = mean_ci(Sample(values))
    return f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})"


def seed_row(seed: int, errors: dict[tuple[str, int | None], float]) -> list[str]:
    without, normed, alone = (errors.get((network, seed)) for network in (WITHOUT, NORMED, ALONE))
    return [
        *(str(seed), format_error(without), format_error(normed), format_difference(without, normed)),
        *(format_error(alone), format_difference(alone, normed)),
    ]


def format_error(error: float | None) -> str:
    return "not yet measured" if error is None else f"{error:.2f}"


def format_difference(one: float | None, other: float | None) -> str:
    return f"{one - other:.2f}" if one is not None and other is not None else ""


def norms_page(folders: list[Path]) -> str:
    """The page. Raises UserError if the folders contain no tested run of the two recipes."""
    runs = [run for run in map(read_cifar_test, collect_tests(folders)) if run]
    if not runs:
        searched = ", ".join(map(str, folders))
        raise UserError(f"norms=true: no finished and tested run of cifar10_13pct or cifar10_11pct in {searched}")
    found = NORMS_MEASURED if any(run.network == ALONE for run in runs) else NORMS_MISSING
    return "\n".join([HEAD + found, *norm_tables(runs)])
