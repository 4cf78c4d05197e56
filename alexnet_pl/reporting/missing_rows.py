"""Rows of the paper without a result: the command for each, with images and hours of training (§6)."""

import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from alexnet_pl.config.identity import Settings
from alexnet_pl.errors import UserError
from alexnet_pl.paper.claim import ALEXNET, Claim
from alexnet_pl.paper.matching import recipe_networks
from alexnet_pl.paper.rows import ReportRow, count_training_images, reproduce_command
from alexnet_pl.runs import metrics_log
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import FIT, collect_runs
from alexnet_pl.runs.provenance import read_sessions
from alexnet_pl.table import Table


def missing_rows(rows: Sequence[ReportRow], rate: float | None) -> Table:
    """Commands for the rows without a result, with images in training, and hours at `rate` images per second."""
    claims: dict[str, list[Claim]] = {}
    for row in rows:
        if row.claim.recipe and row.claim.data and not (row.is_measurable and row.measured):
            claims.setdefault(reproduce_command(row.claim), []).append(row.claim)
    body = [missing_cells(command, group, rate) for command, group in claims.items()]
    header = ["rows", "command", "million images", *(["hours"] if rate else [])]
    notes = (describe_rate(rate), "Images and hours are upper bounds: the plateau schedule may end a run earlier.")
    return Table("Missing results, and the commands for them", header, body, notes)


def describe_rate(rate: float | None) -> str:
    """Note on where the hours come from, or what they need."""
    if rate:
        return f"Hours at {rate:,.0f} images/s: report.images_per_second, else the median of this machine's runs."
    return (
        "Hours need this machine's images per second: fit a network with crops of 224 pixels, or pass "
        "report.images_per_second=NUMBER."
    )


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
        same_machine = {session.host for session in read_sessions(run)} == {platform.node()}
        fit = read_fit_status(run)
        same_network = fit is not None and is_full_size(fit.training)
        return metrics_log.images_per_second(run) if same_machine and same_network else None
    except (UserError, OSError, ValueError, KeyError):
        return None
