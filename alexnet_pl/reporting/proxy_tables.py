"""Tables of the paper's comparisons made on a proxy data set."""

import math

from alexnet_pl.evaluation.intervals import Difference
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.comparing import Spreads
from alexnet_pl.paper.deviations import DeviationEffect
from alexnet_pl.paper.proxies import Comparison, ProxyResults, labels_by_verdict
from alexnet_pl.reporting.tables import UNVERIFIED, UNVERIFIED_NOTE, describe_basis, format_percentage
from alexnet_pl.table import Table


def proxy_tables(results: ProxyResults) -> list[Table]:
    """Tables of each network's errors on a proxy data set, and of the paper's comparisons if two or more are tested."""
    return [error_table(results), *([comparison_table(results)] if results.comparisons else [])]


def tested_metrics(results: ProxyResults) -> list[str]:
    return [metric for metric in ERRORS if metric in results.errors[0].values]


def error_table(results: ProxyResults) -> Table:
    metrics = tested_metrics(results)
    rows = [
        [
            variant.label,
            *(format_percentage(variant.values[metric]) if metric in variant.values else "" for metric in metrics),
            str(variant.values["top1_error"].runs),
        ]
        for variant in results.errors
    ]
    header = ["network", *(HEADS[metric] for metric in metrics), "runs"]
    notes = (f"{results.conditions[:1].upper()}{results.conditions[1:]}.", describe_intervals(results.spreads))
    return Table(f"{results.kind}, no row of the paper: {results.name}", header, rows, notes)


def comparison_table(results: ProxyResults) -> Table:
    points = f"{' / '.join(SHORT[metric] for metric in tested_metrics(results))} points"
    header = [
        "network",
        "compared with",
        "section",
        f"paper, {points}",
        f"ours, {points} (95 % interval)",
        "interval over",
        "p value",
        "verdict",
    ]
    rows = list(map(comparison_cells, results.comparisons))
    return Table(f"The paper's comparisons on {results.name}", header, rows, (P_NOTE, *verdict_notes(results)))


def comparison_cells(row: Comparison) -> list[str]:
    return [
        row.label,
        row.baseline_label,
        row.claim.place,
        format_paper(row),
        " / ".join(map(format_points, row.ours.values())),
        *verdict_cells(row),
    ]


def verdict_notes(results: ProxyResults) -> list[str]:
    """Sentence with the networks of each verdict, and the note on † if a row has one."""
    notes = [f"{verdict.capitalize()}: {', '.join(labels)}." for verdict, labels in labels_by_verdict(results).items()]
    if not all(row.claim.verified and row.baseline.verified for row in results.comparisons):
        notes.append(UNVERIFIED_NOTE)
    return notes


def format_paper(row: Comparison) -> str:
    """The paper's differences, with † if one of the errors was not compared with the printed source."""
    values = " / ".join("worse" if math.isnan(value) else f"{value:+.1f}" for value in row.paper.values())
    mark = "" if row.claim.verified and row.baseline.verified else UNVERIFIED
    return " ".join(filter(None, (row.claim.bound, values, mark)))


HEADS = {"top1_error": "top-1 error, % (95 % interval)", "top5_error": "top-5 error, % (95 % interval)"}
SHORT = {"top1_error": "top-1", "top5_error": "top-5"}
P_NOTE = (
    "Intervals are for each comparison by itself. p is for equal top-1 errors, adjusted for the number of comparisons "
    "in this table (Holm); the verdict uses p below 0.05."
)
OVER_RUNS = (
    "One run: interval over images (Wilson). Several runs: interval over runs (Student's t), all on the same images."
)


def describe_intervals(spreads: Spreads) -> str:
    """Note on what the intervals of means are over."""
    if not spreads:
        return OVER_RUNS
    shares = [f"{spread.deviation:.2f} points of {SHORT[metric]} error" for metric, spread in spreads.items()]
    degrees = max(spread.degrees for spread in spreads.values())
    return (
        f"Intervals of single networks: over runs, by the standard deviation between seeds, {' and '.join(shares)} "
        f"(pooled over all networks of this table, at most {degrees} degrees of freedom); a network with clearly "
        "another deviation has its own. Ensembles: over images (Wilson). All on the same images."
    )


def verdict_cells(compared: Comparison | DeviationEffect) -> list[str]:
    """Cells of what the interval is over, p value and verdict."""
    top1, p = compared.ours["top1_error"], compared.p
    return [describe_basis(top1.runs, top1.basis), "" if math.isnan(p) else f"{p:.2g}", compared.verdict]


def format_points(difference: Difference | None) -> str:
    """Mean and interval in percentage points, with signs; "" if there is no difference."""
    return f"{difference.mean:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})" if difference else ""
