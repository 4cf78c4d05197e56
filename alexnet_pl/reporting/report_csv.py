"""report.csv: the paper's numbers beside ours, and those of proxy data sets, one line per value, not rounded."""

import math
from collections.abc import Iterator, Sequence

from alexnet_pl.csv_file import to_csv
from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.paper.proxies import ProxyResults
from alexnet_pl.paper.rows import ReportRow, reproduce_command

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
            numbers = measured_cells(ours) if ours else [""] * 4
            yield [*place, metric, empty_if_nan(value), claim.bound, *numbers, command, source]


def proxy_csv_rows(proxies: Sequence[ProxyResults]) -> Iterator[list[object]]:
    """Cells under `CSV_HEADER` of each network's errors on a proxy data set, and of its differences."""
    for proxy in proxies:
        for variant in proxy.errors:
            for metric, value in variant.values.items():
                yield ["proxy", variant.label, "", proxy.description, metric, "", "", *measured_cells(value), "", ""]
        for row in proxy.comparisons:
            place = "proxy, difference", row.full_label, row.claim.section, proxy.description
            for metric, ours in row.ours.items():
                yield [*place, metric, empty_if_nan(row.paper[metric]), "", *measured_cells(ours), "", ""]


def measured_cells(value: Estimate | Difference) -> list[float | str]:
    """Mean, ends of the interval, and number of runs; no ends if there is no interval."""
    return [empty_if_nan(number) for number in value[:4]]


def empty_if_nan(value: float) -> float | str:
    return "" if math.isnan(value) else value
