"""Tables of docs/results.md, README.md and docs/how-to/clusters.md, from files written by commands."""

import json
import re
from collections.abc import Sequence

from alexnet_pl.console import pluralize
from alexnet_pl.paper.claim import ALEXNET, OVERFEAT, Claim
from alexnet_pl.paper.rows import ReportRow
from alexnet_pl.reporting.norms_comparison import MEAN
from alexnet_pl.reporting.tables import UNVERIFIED
from pages.markdown import ROOT, join, number, table

ROWS = (  # labels of the rows shown in README; docs/results.md has the others
    "CNN", "1 CNN", "5 CNNs", "1 CNN*", "7 CNNs*", "CNN, six convolutional layers",
    "four layers, no normalization", "four layers, normalization", "epochs to 25 % training error, tanh ÷ ReLU",
)  # fmt: skip
SHORTENED = "four layers, normalization"  # compared with the row above by a shorter schedule
SHORTENED_CELL = (
    "not yet measured ([a tenth of the schedule]({docs}norms.md), error of the row above minus this one's: {mean} "
    "points (95 %: {low} to {high}){verdict})"
)
INTERVAL = re.compile(r"(\S+) \((\S+) to (\S+)\)")


def results_table(rows: Sequence[ReportRow], labels: tuple[str, ...] | None, docs: str) -> str:
    """Table of the paper's rows that a recipe reproduces, from kept runs; all, or those with `labels`. `docs`: path
    from the page to docs/."""
    shown = [row for row in rows if row.claim.paper == ALEXNET and row.claim.recipe]
    lines = [row_cells(row, docs) for row in shown if not labels or row.claim.label in labels]
    return table(("network", "images", "in the paper", "paper", "ours"), lines)


def overfeat_table(rows: Sequence[ReportRow]) -> str:
    """Table of OverFeat's rows that a recipe reproduces."""
    shown = [row for row in rows if row.claim.paper == OVERFEAT and row.claim.recipe]
    return table(("network", "images", "in the paper", "paper", "ours"), map(overfeat_cells, shown))


def overfeat_cells(row: ReportRow) -> tuple[str, ...]:
    claim = row.claim
    paper = [f"{claim.bound} {overfeat_number(value)}".strip() for value in claim.values.values()]
    values = [overfeat_number(row.measured[metric].mean) for metric in claim.values if metric in row.measured]
    mark = "" if claim.verified else f" {UNVERIFIED}"
    return claim.label, claim.data or "", claim.section, join(paper) + mark, join(values) or "not yet measured"


def overfeat_number(value: float) -> str:
    """Errors have two decimals, sizes and counts none."""
    return f"{value:,.0f}" if value == int(value) else f"{value:.2f}"


def row_cells(row: ReportRow, docs: str) -> tuple[str, ...]:
    claim = row.claim
    paper = [f"{claim.bound} {number(value, 1)}".strip() for value in claim.values.values()]
    return claim.label, images_of(claim), claim.section, join(paper), ours(row, docs)


def ours(row: ReportRow, docs: str) -> str:
    """The measured values, with the number of runs unless they were counted in the network."""
    measured = [row.measured[metric] for metric in row.claim.values if metric in row.measured]
    if not measured:
        return measured_elsewhere(row.claim.label, docs)
    runs = min(value.runs for value in measured)
    count = f" ({pluralize(runs, 'run')})" if runs else ""
    beside = f", [compared with the row above]({docs}norms.md)" if row.claim.label == SHORTENED else ""
    return join(number(value.mean, 2) for value in measured) + count + beside


def images_of(claim: Claim) -> str:
    """Images of a row; Figure 1 is about the error on the training images."""
    return "CIFAR-10 train" if "epochs_to_25" in claim.values else claim.data or ""


def measured_elsewhere(label: str, docs: str) -> str:
    found = INTERVAL.match(page_cell("norms.md", MEAN, 4) or "") if label == SHORTENED else None
    if not found:
        return "not yet measured"
    mean, low, high = found.groups()
    includes_zero = low.startswith("-") and not high.startswith("-")  # -0.004 is written as -0.00
    verdict = ", inconclusive" if includes_zero else ""
    return SHORTENED_CELL.format(docs=docs, mean=mean, low=low, high=high, verdict=verdict)


def page_cell(page: str, first: str, column: int) -> str | None:
    """Number in a page of docs/ that a command has written, in the row whose first cell is `first`; None if it is not
    there yet."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    rows = [line.split("|") for line in lines if line.startswith("|")]
    return next((row[column].partition(",")[0].strip() for row in rows if row[1].strip() == first), None)


def failures_table() -> str:
    """Table from docs/data/failures.json, which `make failures` writes."""
    seconds = json.loads((ROOT / "docs/data/failures.json").read_text(encoding="utf-8"))
    return table(
        ("of two processes", "seconds until both have ended"), ((case, f"{s:.0f}") for case, s in seconds.items())
    )
