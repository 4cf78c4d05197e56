"""`report`: Tables 1 and 2, Fall 2009 and all other numbers of the paper beside ours."""

import math
from collections.abc import Sequence

from alexnet_pl.console import pluralize
from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.paper.box_claims import REPORTED_BY_OTHERS, TEST_SERVER
from alexnet_pl.paper.claim import Claim
from alexnet_pl.paper.overfeat_claims import CLASSIFICATION, SIZES, TEST_ERRORS, WINDOWS
from alexnet_pl.paper.rows import ReportRow
from alexnet_pl.reporting.tables import UNVERIFIED, UNVERIFIED_NOTE, describe_basis
from alexnet_pl.table import Table

METRICS = {"top1_error": "top-1 error", "top5_error": "top-5 error"}
UNITS = {
    "conv3_share": "%", "conv4_share": "%", "epochs": "epochs", "epochs_to_25": "epochs", "days": "days",
    "subsampling": "pixels", "fine_subsampling": "pixels", "map_height": "rows", "map_width": "columns",
}  # fmt: skip
COUNTED = {"epochs", "pixels", "rows", "columns", "number"}  # units of values whose whole numbers have no decimals
HEADER = ["row", "section", "metric", "paper", "ours (95 % interval)", "ours minus paper", "interval over"]
MISSING = "not yet measured"


def paper_tables(rows: Sequence[ReportRow]) -> list[Table]:
    """One table for each group of claims, with a line for each value."""
    parts: dict[str, list[list[str]]] = {}
    for row in rows:
        parts.setdefault(row.claim.group, []).extend(value_cells(row, metric) for metric in row.claim.values)
    return [Table(part, HEADER, found, notes_for(part, found)) for part, found in parts.items()]


def notes_for(part: str, rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Notes below a table; that on the test server only with a row for it, which the terminal leaves out."""
    on_server = any(TEST_SERVER in cells for cells in rows)
    return (*NOTES.get(part, ()), *((SERVER_NOTE,) if on_server else ()))


SERVER_NOTE = "Only the test server knows the test errors; test.split=test writes a file for it."
NOTES = {
    "What each part brings": (
        "Increase of the error in percentage points without the part, on the paper's images: ILSVRC-2012 validation "
        "for response normalization and overlap, ILSVRC-2010 test for the others.",
    ),
    CLASSIFICATION: (
        UNVERIFIED_NOTE,
        "The fine stride of the fast network has two offsets per side here, because its last pooling is 2 × 2.",
    ),
    SIZES: (
        UNVERIFIED_NOTE,
        "Connections: multiplications for one crop; the printed numbers are 0.3 % higher.",
    ),
    TEST_ERRORS: (UNVERIFIED_NOTE,),
    WINDOWS: (UNVERIFIED_NOTE,),
}


def value_cells(row: ReportRow, metric: str) -> list[str]:
    """Cells of a value under `HEADER`."""
    claim, paper, ours = row.claim, row.claim.values[metric], row.measured.get(metric)
    words = (claim.bound, format_claimed(paper, claim, metric), "" if claim.verified else UNVERIFIED)
    cells = [claim.label, claim.section, name_metric(claim, metric), " ".join(filter(None, words))]
    if not row.is_measurable:
        return [*cells, TEST_SERVER if claim.recipe else REPORTED_BY_OTHERS, "", ""]
    if not ours:
        return [*cells, MISSING, "", ""]
    difference = "" if math.isnan(paper) else format_signed(ours.mean - paper, counted=is_count(claim, metric))
    return [*cells, format_estimate(ours, counted=is_count(claim, metric)), difference, interval_source(ours)]


def name_metric(claim: Claim, metric: str) -> str:
    """Name of a claim's metric with its unit; the label of the row says what else is counted."""
    if claim.ratio:
        return "times"
    if metric in METRICS:
        return f"{METRICS[metric]}, {'points' if claim.relative else '%'}"
    return UNITS.get(metric.partition("_at_")[0], "number")


def interval_source(value: Estimate | Difference) -> str:
    """What a value's interval is over, such as "images of 1 run"; "" for a number that needs no run."""
    if isinstance(value, Difference):
        return describe_basis(value.runs, value.basis)
    if not value.runs:
        return ""
    if math.isnan(value.low) or value.low == value.high:
        return f"{pluralize(value.runs, 'run')}, no interval"
    return describe_basis(value.runs, "images" if value.runs == 1 else "runs")


def is_count(claim: Claim, metric: str) -> bool:
    return name_metric(claim, metric) in COUNTED


def format_claimed(value: float, claim: Claim, metric: str) -> str:
    if math.isnan(value):
        return "no number"
    if value >= 1000 or is_count(claim, metric):
        return f"{value:,.0f}"
    return f"{value:.2f}" if round(value, 1) != value else f"{value:.1f}"


def format_estimate(value: Estimate | Difference, counted: bool) -> str:
    mean = f"{value.mean:,.0f}" if value.mean >= 1000 or is_whole(value.mean, counted) else f"{value.mean:.2f}"
    if math.isnan(value.low) or value.low == value.high:
        return mean
    return f"{mean} ({value.low:.2f} to {value.high:.2f})"


def format_signed(value: float, counted: bool) -> str:
    """Difference with its sign; zero has none."""
    text = f"{value:+,.0f}" if abs(value) >= 1000 or is_whole(value, counted) else f"{value:+.2f}"
    return text if text.strip("+-0.") else text[1:]


def is_whole(value: float, counted: bool) -> bool:
    return counted and value == round(value)
