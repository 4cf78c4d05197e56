"""`report`: Tables 1 and 2, Fall 2009 and all other numbers of the paper beside ours."""

import math
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from omegaconf import DictConfig, ListConfig

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.paper.claim import ALEXNET, Claim
from alexnet_pl.paper.overfeat_claims import CLASSIFICATION, SIZES
from alexnet_pl.paper.proxies import ProxyResults
from alexnet_pl.paper.results import TestRun, collect_tests
from alexnet_pl.paper.rows import ReportRow, count_training_images, reproduce_command
from alexnet_pl.reporting import tables
from alexnet_pl.reporting.tables import UNVERIFIED, Table
from alexnet_pl.runs import metrics_log
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import FIT, collect_runs
from alexnet_pl.runs.provenance import read_sessions

NAMES = {"top1_error": "top-1 error, %", "top5_error": "top-5 error, %", "conv3_share": "%", "conv4_share": "%"}
MISSING = "not yet measured"


def report_roots(cfg: DictConfig) -> list[Path]:
    """Folders in `report.runs`, a path or a list of paths."""
    setting = cfg.report.runs
    return [Path(root) for root in (setting if isinstance(setting, ListConfig) else [setting])]


def collect_report_tests(cfg: DictConfig) -> list[TestRun]:
    """All tests below `report.runs`. Its default, `runs`, need not exist."""
    roots = report_roots(cfg)
    return collect_tests(root for root in roots if root.is_dir() or len(roots) > 1 or str(root) != "runs")


def paper_tables(rows: Sequence[ReportRow]) -> list[Table]:
    """One table for each group of claims."""
    header = ["row", "section", "paper", "ours (95 %)", "runs (interval over)", "ours minus paper"]
    parts: dict[str, list[list[str]]] = {}
    for row in rows:
        parts.setdefault(row.claim.group, []).append(row_cells(row))
    return [Table(part, header, found, NOTES.get(part, ())) for part, found in parts.items()]


NOTES = {
    "What each part brings": (
        "Increase of the error in percentage points without the part, on the paper's images: ILSVRC-2012 validation "
        "for response normalization and overlap, ILSVRC-2010 test for the others.",
    ),
    "Table 2: ILSVRC-2012": ("Only the test server knows the test errors; test.split=test writes a file for it.",),
    CLASSIFICATION: (
        f"{UNVERIFIED} entered from memory, not compared with the printed source.",
        "The fine stride of the fast network has two offsets per side here, because its last pooling is 2 × 2.",
    ),
    SIZES: (
        f"{UNVERIFIED} entered from memory, not compared with the printed source.",
        "Connections: multiplications for one crop; the printed numbers are 0.3 % higher.",
    ),
}


def row_cells(row: ReportRow) -> list[str]:
    """Cells of a row: label, section, the paper's value, our value, runs, difference."""
    claim = row.claim
    runs = max((value.runs for value in row.measured.values()), default=0)
    basis = {f" ({source})" for value in row.measured.values() if (source := interval_source(value))}
    paper = " / ".join(f"{claim.bound} {format_claimed(value, claim)}".strip() for value in claim.values.values())
    paper += "" if claim.verified else f" {UNVERIFIED}"
    if not row.is_measurable:
        ours = "reported by others" if not claim.recipe else "test server only"
        return [claim.label, claim.section, paper, ours, "", ""]
    ours = " / ".join(format_estimate(row.measured[metric]) for metric in claim.values if metric in row.measured)
    published = {
        metric: value for metric, value in claim.values.items() if metric in row.measured and not math.isnan(value)
    }
    differences = [format_signed(row.measured[metric].mean - value) for metric, value in published.items()]
    return [
        claim.label,
        claim.section,
        paper,
        ours or MISSING,
        f"{runs or ''}{''.join(sorted(basis))}",
        " / ".join(differences),
    ]


def interval_source(value: Estimate | Difference) -> str:
    """What an interval's variation is over: "images" or "runs"; "" without an interval."""
    if isinstance(value, Difference):
        return value.basis
    if math.isnan(value.low) or value.low == value.high:
        return ""
    return "images" if value.runs == 1 else "runs"


def format_claimed(value: float, claim: Claim) -> str:
    if math.isnan(value):
        return "no number"
    if value >= 1000 or claim.key == "epochs":
        return f"{value:,.0f}"
    return f"{value:.2f}" if round(value, 1) != value else f"{value:.1f}"


def format_estimate(value: Estimate | Difference) -> str:
    mean = f"{value.mean:,.0f}" if value.mean >= 1000 else f"{value.mean:.2f}"
    if math.isnan(value.low) or value.low == value.high:
        return mean
    return f"{mean} ({value.low:.2f} to {value.high:.2f})"


def format_signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.2f}"


def missing_rows(rows: Sequence[ReportRow], rate: float | None) -> Table:
    """Rows without a result: command, images in training, and hours at `rate` images per second."""
    body, printed = [], set()
    for row in rows:
        claim = row.claim
        if not claim.recipe or not claim.data or (row.is_measurable and row.measured):
            continue
        command = reproduce_command(claim)
        if command in printed:
            continue
        printed.add(command)
        images = count_training_images(claim)
        known = rate and claim.paper == ALEXNET  # the rate was measured with AlexNet
        hours = f"{images / rate / 3600:,.0f} hours" if rate and known else "hours not known"
        body.append([f"{claim.label} ({claim.section})", command, f"{images / 1e6:,.0f} million images", hours])
    notes = (
        f"Hours at {rate:,.0f} images/s, as measured on this machine."
        if rate
        else "Hours need this machine's images per second: fit a network with crops of 224 pixels, or pass "
        "report.images_per_second=NUMBER.",
        "Images and hours are upper bounds: the plateau schedule may end a run earlier.",
    )
    return Table(
        "Missing results, and the commands for them",
        ["row", "command", "images", "hours"],
        body,
        notes,
        listed=True,
    )


def measured_throughput(roots: Sequence[Path]) -> float | None:
    """Median of the training images per second that runs in `roots` logged on this machine at the paper's image size;
    None if there are none."""
    rates = [rate for run in collect_runs(roots, FIT) if (rate := logged_throughput(run))]
    return median(rates) if rates else None


def logged_throughput(run: Path) -> float | None:
    """Training images per second of a run; None unless it ran on this machine with crops of 224 pixels."""
    try:
        same_machine = all(session.host == platform.node() for session in read_sessions(run))
        fit = read_fit_status(run)
        paper_size = fit is not None and fit.training["augment"]["crop"] == 224
        return metrics_log.images_per_second(run) if same_machine and paper_size else None
    except (UserError, OSError, ValueError, KeyError):
        return None


def as_csv(rows: Sequence[ReportRow], proxies: Sequence[ProxyResults]) -> str:
    """Text of report.csv: one line per value of the tables, not rounded."""
    header = [
        "part",
        "row",
        "place",
        "data",
        "metric",
        "paper",
        "bound",
        "ours",
        "low",
        "high",
        "runs",
        "command",
        "source",
    ]
    lines: list[list[object]] = []
    for row in rows:
        claim = row.claim
        for metric, value in claim.values.items():
            ours = row.measured.get(metric)
            numbers = list(ours[:4]) if ours else ["", "", "", ""]
            command = reproduce_command(claim) if claim.recipe else ""
            data = claim.data or ""
            paper = "" if math.isnan(value) else value
            source = "" if claim.verified else "from memory"
            lines.append(
                [claim.group, claim.label, claim.section, data, metric, paper, claim.bound, *numbers, command, source]
            )
    for proxy in proxies:
        for variant in proxy.errors:
            for metric, ours in variant.values.items():
                lines.append(["proxy", variant.label, "", proxy.description, metric, "", "", *ours[:4], "", ""])
        for comparison in proxy.comparisons:
            for metric, ours in comparison.ours.items():
                claim = comparison.claim
                paper = "" if math.isnan(comparison.paper[metric]) else comparison.paper[metric]
                lines.append(
                    [
                        "proxy, difference",
                        claim.label,
                        claim.section,
                        proxy.description,
                        metric,
                        paper,
                        "",
                        *ours[:4],
                        "",
                        "",
                    ]
                )
    return tables.to_csv(header, lines)
