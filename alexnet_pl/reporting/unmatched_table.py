"""Runs that fill no row of the paper: a table of all, and a line for each reason for the terminal."""

from collections.abc import Sequence
from pathlib import Path

from alexnet_pl.paper.unmatched import UnmatchedRun
from alexnet_pl.table import Table

TITLE = "Runs that fill no row of the paper"
SHOWN = 3  # runs that a line names; the others are counted


def unmatched_table(runs: Sequence[UnmatchedRun], roots: Sequence[Path]) -> Table:
    return Table(TITLE, ["run", "test", "reason"], [[name_run(one.run, roots), one.test, one.reason] for one in runs])


def reason_lines(runs: Sequence[UnmatchedRun], roots: Sequence[Path]) -> list[str]:
    """One line for each reason, with the names of its runs."""
    named: dict[str, dict[str, None]] = {}
    for one in runs:
        named.setdefault(one.reason, {})[name_run(one.run, roots)] = None
    return [f"{abbreviate(list(names))}: {reason}" for reason, names in named.items()]


def abbreviate(names: Sequence[str]) -> str:
    """All names, or the first `SHOWN` and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def name_run(run: Path, roots: Sequence[Path]) -> str:
    """Path below the root that holds the run; its name where the root is the run itself."""
    run = run.resolve()
    root = next((root for root in map(Path.resolve, roots) if run.is_relative_to(root)), run.parent)
    return run.name if run == root else str(run.relative_to(root))
