"""Tables of the paper's comparisons made on a proxy data set."""

import math
from collections.abc import Mapping

from alexnet_pl.config.views import describe_views
from alexnet_pl.evaluation.intervals import LEVEL, Difference
from alexnet_pl.evaluation.seed_spread import Spread
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
    return Table(results.title, header, rows, notes)


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
    notes = [f"{verdict.capitalize()}: {'; '.join(labels)}." for verdict, labels in labels_by_verdict(results).items()]
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
    by_views: dict[str, dict[str, Spread]] = {}
    for (views, metric), spread in spreads.items():
        by_views.setdefault(views, {})[metric] = spread
    pooled = "; ".join(describe_spreads(views, same) for views, same in by_views.items())
    return (
        f"Intervals of single networks: over runs, by the standard deviation between seeds, pooled over the networks "
        f"that trained: {pooled}. A network with clearly another deviation, one that did not train, and other views "
        "have their own (Student's t). Ensembles and other single runs: over images (Wilson). All on the same images."
    )


def describe_spreads(views: str, spreads: Mapping[str, Spread]) -> str:
    shares = [f"{spread.deviation:.2f} points of {SHORT[metric]} error" for metric, spread in spreads.items()]
    degrees = max(spread.degrees for spread in spreads.values())
    return f"{' and '.join(shares)} ({describe_views(views)}, at most {degrees} degrees of freedom)"


def verdict_cells(compared: Comparison | DeviationEffect) -> list[str]:
    """Cells of what the interval is over, p value and verdict."""
    top1, p = compared.ours["top1_error"], compared.p
    return [describe_basis(top1.runs, top1.basis), format_p_value(p), compared.verdict]


def format_p_value(p: float) -> str:
    """Two digits, or three near the limit of significance, so that the cell shows on which side it is."""
    if math.isnan(p):
        return ""
    return f"{p:.2g}" if abs(p - (1 - LEVEL)) > 0.005 else f"{p:.4f}"


def format_points(difference: Difference | None) -> str:
    """Mean and interval in percentage points, with signs; "" if there is no difference."""
    return f"{difference.mean:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})" if difference else ""
