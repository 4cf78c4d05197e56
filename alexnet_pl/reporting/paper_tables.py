"""`report`: Tables 1 and 2, the Fall 2009 result and every other number of the paper beside the measured ones."""

import json
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
from alexnet_pl.paper.rows import ReportRow, count_training_images, has_recipe, reproduce_command
from alexnet_pl.reporting import tables
from alexnet_pl.reporting.tables import Table
from alexnet_pl.runs import metrics_log
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.provenance import read_sessions

NAMES = {"top1_error": "top-1 error, %", "top5_error": "top-5 error, %", "conv3_share": "%", "conv4_share": "%"}
MISSING = "not yet measured"


def roots_of(cfg: DictConfig) -> list[Path]:
    given = cfg.report.runs
    return [Path(root) for root in (given if isinstance(given, ListConfig) else [given])]


def collected(cfg: DictConfig) -> list[TestRun]:
    """Every test under report.runs, whose own default need not be there."""
    roots = roots_of(cfg)
    return collect_tests(root for root in roots if root.is_dir() or len(roots) > 1 or str(root) != "runs")


def paper_tables(rows: Sequence[ReportRow]) -> list[Table]:
    """One for each part of the paper."""
    header = ["row", "where", "paper", "ours (95 %)", "runs (interval over)", "ours minus paper"]
    parts: dict[str, list[list[str]]] = {}
    for row in rows:
        parts.setdefault(row.claim.group, []).append(cells(row))
    return [Table(part, header, found, NOTES.get(part, ())) for part, found in parts.items()]


UNSEEN = "†"
NOTES = {
    "What each part brings": (
        "Points of error by which the network is worse without the part, on the images the paper measured it on: "
        "ILSVRC-2012 validation for response normalisation and overlap, ILSVRC-2010 test for the others.",
    ),
    "Table 2: ILSVRC-2012": ("Test errors are the test server's to tell; test.split=test writes its file.",),
    CLASSIFICATION: (
        f"{UNSEEN} printed source not seen: the number is from memory and was never compared with the paper's table.",
        "Offsets of the fast network's fine stride are two a side here, as its last pooling is 2 × 2.",
    ),
    SIZES: (
        f"{UNSEEN} printed source not seen.",
        "Connections: multiplications of one crop; the printed ones are 0.3 % above.",
    ),
}


def cells(row: ReportRow) -> list[str]:
    claim = row.claim
    runs = max((value.runs for value in row.measured.values()), default=0)
    basis = {f" ({found})" for value in row.measured.values() if (found := basis_of(value))}
    paper = " / ".join(f"{claim.bound} {number(value, claim)}".strip() for value in claim.values.values())
    paper += "" if claim.verified else f" {UNSEEN}"
    if not row.is_measurable:
        ours = "reported by others" if not claim.recipe else "the test server's"
        return [claim.label, claim.section, paper, ours, "", ""]
    ours = " / ".join(interval(row.measured[metric]) for metric in claim.values if metric in row.measured)
    given = {
        metric: value for metric, value in claim.values.items() if metric in row.measured and not math.isnan(value)
    }
    apart = [signed(row.measured[metric].mean - value) for metric, value in given.items()]
    return [
        claim.label,
        claim.section,
        paper,
        ours or MISSING,
        f"{runs or ''}{''.join(sorted(basis))}",
        " / ".join(apart),
    ]


def basis_of(value: Estimate | Difference) -> str:
    """What the interval is over; "" if there is none."""
    if isinstance(value, Difference):
        return value.basis
    if math.isnan(value.low) or value.low == value.high:
        return ""
    return "images" if value.runs == 1 else "runs"


def number(value: float, claim: Claim) -> str:
    if math.isnan(value):
        return "no number"
    if value >= 1000 or claim.key == "epochs":
        return f"{value:,.0f}"
    return f"{value:.2f}" if round(value, 1) != value else f"{value:.1f}"


def interval(value: Estimate | Difference) -> str:
    mean = f"{value.mean:,.0f}" if value.mean >= 1000 else f"{value.mean:.2f}"
    if math.isnan(value.low) or value.low == value.high:
        return mean
    return f"{mean} ({value.low:.2f} to {value.high:.2f})"


def signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.2f}"


def missing(rows: Sequence[ReportRow], rate: float | None) -> Table:
    """For each row without a result: the one command that makes it, images seen, hours at `rate` images a second."""
    body, printed = [], set()
    for row in rows:
        claim = row.claim
        if not claim.recipe or not claim.data or (row.is_measurable and row.measured):
            continue
        line = reproduce_command(claim)
        if line in printed:
            continue
        printed.add(line)
        if not has_recipe(claim):
            body.append([claim.label, f"needs configs/{claim.recipe}.yaml, which is not here", "", ""])
            continue
        seen = count_training_images(claim)
        known = rate and claim.paper == ALEXNET  # the rate is that of its network
        hours = f"{seen / rate / 3600:,.0f} hours" if rate and known else "hours not known"
        body.append([f"{claim.label} ({claim.section})", line, f"{seen / 1e6:,.0f} million images", hours])
    notes = (
        f"Hours at {rate:,.0f} images/s, as measured on this machine."
        if rate
        else "Hours need images a second of this machine: run bench, or give report.images_per_second=NUMBER.",
        "Images and hours are upper bounds: where the schedule is plateau, it may end a run earlier.",
    )
    return Table(
        "What is missing, and the command that makes it",
        ["row", "command", "images", "hours"],
        body,
        notes,
        listed=True,
    )


def throughput(roots: Sequence[Path]) -> float | None:
    """Images a second in training at the paper's size on this machine: the newest bench.json's, else the median of its
    runs' logs."""
    found = sorted(
        (path for root in roots for path in root.glob("**/bench.json")), key=lambda path: path.stat().st_mtime
    )
    for path in reversed(found):
        measured = json.loads(path.read_text())
        if measured.get("host") in (None, platform.node()) and measured.get("images_per_second"):
            return float(measured["images_per_second"])
    rates = [rate for root in roots for path in root.glob("**/fit.json") if (rate := logged_rate(path.parent))]
    return median(rates) if rates else None


def logged_rate(run: Path) -> float | None:
    """Images per second of a run on this machine with crops of 224 pixels."""
    try:
        here = all(session.host == platform.node() for session in read_sessions(run))
        fit = read_fit_status(run)
        full = fit is not None and fit.training["augment"]["crop"] == 224
        return metrics_log.images_per_second(run) if here and full else None
    except (UserError, OSError, ValueError, KeyError):
        return None


def as_csv(rows: Sequence[ReportRow], others: Sequence[ProxyResults]) -> str:
    """Every value that the tables show, unrounded, a line a number."""
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
            found = list(ours[:4]) if ours else ["", "", "", ""]
            how = reproduce_command(claim) if claim.recipe else ""
            data = claim.data or ""
            paper = "" if math.isnan(value) else value
            source = "" if claim.verified else "printed source not seen"
            lines.append(
                [claim.group, claim.label, claim.section, data, metric, paper, claim.bound, *found, how, source]
            )
    for one in others:
        for kind in one.errors:
            for metric, ours in kind.values.items():
                lines.append(["proxy", kind.label, "", one.description, metric, "", "", *ours[:4], "", ""])
        for compared in one.comparisons:
            for metric, ours in compared.ours.items():
                claim = compared.claim
                paper = "" if math.isnan(compared.paper[metric]) else compared.paper[metric]
                lines.append(
                    [
                        "proxy, difference",
                        claim.label,
                        claim.section,
                        one.description,
                        metric,
                        paper,
                        "",
                        *ours[:4],
                        "",
                        "",
                    ]
                )
    return tables.values(header, lines)
