"""`report`: Tables 1 and 2, Fall 2009 and all other numbers of the paper beside ours."""

import math
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from omegaconf import DictConfig

from alexnet_pl.config.identity import Settings
from alexnet_pl.console import pluralize
from alexnet_pl.csv_file import to_csv
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.files import list_paths
from alexnet_pl.paper.box_claims import REPORTED_BY_OTHERS, TEST_SERVER
from alexnet_pl.paper.claim import ALEXNET, Claim
from alexnet_pl.paper.matching import recipe_networks
from alexnet_pl.paper.overfeat_claims import CLASSIFICATION, SIZES, TEST_ERRORS, WINDOWS
from alexnet_pl.paper.proxies import ProxyResults
from alexnet_pl.paper.results import TestRun, collect_tests
from alexnet_pl.paper.rows import ReportRow, count_training_images, reproduce_command
from alexnet_pl.reporting.tables import UNVERIFIED, UNVERIFIED_NOTE, describe_basis
from alexnet_pl.runs import metrics_log
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import FIT, collect_runs
from alexnet_pl.runs.provenance import read_sessions
from alexnet_pl.table import Table

METRICS = {"top1_error": "top-1 error", "top5_error": "top-5 error"}
UNITS = {
    "conv3_share": "%", "conv4_share": "%", "epochs": "epochs", "epochs_to_25": "epochs", "days": "days",
    "subsampling": "pixels", "fine_subsampling": "pixels", "map_height": "rows", "map_width": "columns",
}  # fmt: skip
COUNTED = {"epochs", "pixels", "rows", "columns", "number"}  # units of values whose whole numbers have no decimals
HEADER = ["row", "section", "metric", "paper", "ours (95 % interval)", "ours minus paper", "interval over"]
MISSING = "not yet measured"


def report_roots(cfg: DictConfig) -> list[Path]:
    """Folders in `report.runs`, a path or a list of paths."""
    return list_paths(cfg.report.runs)


def collect_report_tests(cfg: DictConfig) -> list[TestRun]:
    """All tests below `report.runs`. Its default, `runs`, need not exist."""
    roots = report_roots(cfg)
    return collect_tests(root for root in roots if root.is_dir() or len(roots) > 1 or str(root) != "runs")


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


def missing_rows(rows: Sequence[ReportRow], rate: float | None) -> Table:
    """Commands for the rows without a result, with images in training, and hours at `rate` images per second."""
    claims: dict[str, list[Claim]] = {}
    for row in rows:
        if row.claim.recipe and row.claim.data and not (row.is_measurable and row.measured):
            claims.setdefault(reproduce_command(row.claim), []).append(row.claim)
    body = [missing_cells(command, group, rate) for command, group in claims.items()]
    notes = (
        f"Hours at {rate:,.0f} images/s, as measured on this machine."
        if rate
        else "Hours need this machine's images per second: fit a network with crops of 224 pixels, or pass "
        "report.images_per_second=NUMBER.",
        "Images and hours are upper bounds: the plateau schedule may end a run earlier.",
    )
    header = ["rows", "command", "million images", *(["hours"] if rate else [])]
    return Table("Missing results, and the commands for them", header, body, notes)


def missing_cells(command: str, claims: Sequence[Claim], rate: float | None) -> list[str]:
    """Cells of a command and the claims whose values it measures; the last, hours, only if `rate` is known."""
    images = count_training_images(claims[0])
    labels = "; ".join(f"{claim.label} ({claim.section})" for claim in claims)
    cells = [labels, command, f"{images / 1e6:,.0f}"]
    if rate:  # measured with the paper's network
        cells.append(f"{images / rate / 3600:,.0f}" if trains_alexnet(claims[0]) else "not known")
    return cells


def trains_alexnet(claim: Claim) -> bool:
    """Whether a claim's networks are the paper's, on its image size."""
    if claim.paper != ALEXNET:
        return False
    return all(is_full_size(network.training) for network in recipe_networks(str(claim.recipe), claim.overrides))


def is_full_size(training: Settings) -> bool:
    name, width = training["model"].get("name", "alexnet"), training["model"].get("width", 1)
    return name == "alexnet" and width == 1 and training["augment"]["crop"] == 224


def measured_throughput(roots: Sequence[Path]) -> float | None:
    """Median of the training images per second that runs in `roots` logged on this machine at the paper's image size;
    None if there are none."""
    rates = [rate for run in collect_runs(roots, FIT) if (rate := logged_throughput(run))]
    return median(rates) if rates else None


def logged_throughput(run: Path) -> float | None:
    """Training images per second of a run; None unless it ran on this machine with the paper's network and crops."""
    try:
        same_machine = all(session.host == platform.node() for session in read_sessions(run))
        fit = read_fit_status(run)
        same_network = fit is not None and is_full_size(fit.training)
        return metrics_log.images_per_second(run) if same_machine and same_network else None
    except (UserError, OSError, ValueError, KeyError):
        return None


CSV_HEADER = [
    "part", "row", "place", "data", "metric", "paper", "bound", "ours", "low", "high", "runs", "command", "source",
]  # fmt: skip


def as_csv(rows: Sequence[ReportRow], proxies: Sequence[ProxyResults]) -> str:
    """Text of report.csv: one line per value of the tables, not rounded."""
    return to_csv(CSV_HEADER, [*paper_csv_rows(rows), *proxy_csv_rows(proxies)])


def paper_csv_rows(rows: Sequence[ReportRow]) -> Iterator[list[object]]:
    """Cells under `CSV_HEADER` of each value of the paper."""
    for row in rows:
        claim = row.claim
        command = reproduce_command(claim) if claim.recipe else ""
        source = "" if claim.verified else "from memory"
        place = claim.group, claim.label, claim.section, claim.data or ""
        for metric, value in claim.values.items():
            ours = row.measured.get(metric)
            numbers = ours[:4] if ours else [""] * 4
            yield [*place, metric, empty_if_nan(value), claim.bound, *numbers, command, source]


def proxy_csv_rows(proxies: Sequence[ProxyResults]) -> Iterator[list[object]]:
    """Cells under `CSV_HEADER` of each network's errors on a proxy data set, and of its differences."""
    for proxy in proxies:
        for variant in proxy.errors:
            for metric, value in variant.values.items():
                yield ["proxy", variant.label, "", proxy.description, metric, "", "", *value[:4], "", ""]
        for row in proxy.comparisons:
            place = "proxy, difference", row.full_label, row.claim.section, proxy.description
            for metric, ours in row.ours.items():
                yield [*place, metric, empty_if_nan(row.paper[metric]), "", *ours[:4], "", ""]


def empty_if_nan(value: float) -> float | str:
    return "" if math.isnan(value) else value
