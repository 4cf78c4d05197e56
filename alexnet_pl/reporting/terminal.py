"""`report` on the terminal: what the runs measured, and the numbers of rows that are not yet measured."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from alexnet_pl.console import pluralize, print_warning, shorten_path
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import describe_outdated
from alexnet_pl.paper.box_claims import BOX_CLAIMS
from alexnet_pl.paper.box_results import BoxTestRun
from alexnet_pl.paper.results import TestRun
from alexnet_pl.paper.rows import ReportRow
from alexnet_pl.reporting.box_claim_tables import measured_claims, missing_claims, tables_of_claims
from alexnet_pl.reporting.paper_tables import paper_tables
from alexnet_pl.reporting.unmatched_table import TITLE
from alexnet_pl.table import Table, print_list, print_tables

NO_ROW = "No row of the paper is measured by these runs."
NO_RUN = "No runs found: pass report.runs=FOLDER, or make a run: python -m alexnet_pl reproduce -c demo"
MISSING = "Rows of the paper that are not yet measured; {page} lists every row, with its command"


def print_report(
    rows: Sequence[ReportRow],
    box_tests: Sequence[BoxTestRun],
    proxies: Sequence[Table],
    reasons: Sequence[str],
    page: str,
) -> None:
    """Print the measured rows and `proxies`, why runs fill no row (`reasons`), and what is missing. `page`: the file
    with all rows."""
    measured = measured_paper_tables(rows, box_tests)
    if not measured:
        print(f"{NO_ROW if proxies or reasons else NO_RUN}\n")
    print_tables([*measured, *proxies])
    if reasons:
        print_list(TITLE, reasons)
    if missing := list(missing_lines(rows, box_tests)):
        print_list(MISSING.format(page=page), missing)


def print_outdated(tests: Iterable[TestRun]) -> None:
    """Name on stderr the runs that were trained on after their test."""
    for test in tests:
        run = shorten_path(test.run)
        with suppress(UserError):  # a corrupt fit.json
            if outdated := describe_outdated(Path(run), test.result):
                print_warning(f"{run}: {outdated}")


def measured_paper_tables(rows: Sequence[ReportRow], box_tests: Sequence[BoxTestRun]) -> list[Table]:
    """The paper's tables with only the rows that runs have measured."""
    boxes = tables_of_claims(measured_claims(box_tests), box_tests)
    return [*paper_tables([row for row in rows if row.needs_run and row.measured]), *boxes]


def missing_lines(rows: Sequence[ReportRow], box_tests: Sequence[BoxTestRun]) -> Iterator[str]:
    """One line for each of the paper's tables: how many of the rows that need a run are not yet measured."""
    states = [(row.claim.group, not row.measured) for row in rows if row.needs_run]
    missing = missing_claims(box_tests)
    states += [(claim.group, claim in missing) for claim in BOX_CLAIMS if not claim.reason_unmeasured]
    for group in dict.fromkeys(group for group, _ in states):
        found = [is_missing for name, is_missing in states if name == group]
        if any(found):
            yield f"{sum(found)} of {pluralize(len(found), 'row')}: {group}"
