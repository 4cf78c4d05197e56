"""Tables of the report: LaTeX, and the cells that several have."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Protocol, TypeVar

from tabulate import tabulate

from alexnet_pl.console import pluralize
from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Estimate, Sample
from alexnet_pl.table import Notes, Table

UNVERIFIED = "†"  # beside a number that was not compared with the printed source
UNVERIFIED_NOTE = f"{UNVERIFIED} entered from memory, not compared with the printed source."


class OfDataset(Protocol):
    """Measurement on a data set."""

    @property
    def dataset(self) -> str: ...


Measured = TypeVar("Measured", bound=OfDataset)


def tables_by_dataset(
    title: str, header: list[str], measured: Iterable[Measured], cells: Callable[[Measured], list[str]], notes: Notes
) -> list[Table]:
    """One table for each data set, "`title`, on …"; measurements on one data set follow each other."""
    return [
        Table(f"{title}, on {dataset}", header, list(map(cells, group)), notes)
        for dataset, group in groupby(measured, key=lambda one: one.dataset)
    ]


def format_percentage(value: Estimate, digits: int = 2) -> str:
    """Mean and interval in percent, clipped to 0 to 100, which Student's t exceeds for few seeds far apart; the mean
    alone if there is no interval."""
    if math.isnan(value.low):
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits}f} ({max(0, value.low):.{digits}f} to {min(100, value.high):.{digits}f})"


def describe_basis(runs: int, basis: str) -> str:
    """Cell for what an interval is over, from `Difference.runs` and `.basis`: "3 runs, paired by seed"."""
    over, comma, how = basis.partition(", ")
    return f"{'images of ' * (over == 'images')}{pluralize(runs, 'run')}{comma}{how}"


def to_latex(tables: Iterable[Table]) -> str:
    """LaTeX table environments, for a document that loads booktabs."""
    parts = ["% \\usepackage{booktabs}"]
    for table in tables:
        body = tabulate(table.rows, table.header, tablefmt="latex_booktabs", disable_numparse=True)
        notes = [f"\\par\\small {escape_latex(note)}" for note in table.notes]
        parts += ["\\begin{table}", f"\\caption{{{escape_latex(table.title)}}}", body, *notes, "\\end{table}"]
    return "\n".join(parts) + "\n"


def escape_latex(text: str) -> str:
    """Escape LaTeX's special characters in the same way as tabulate does in cells."""
    return tabulate([[text]], tablefmt="latex_booktabs", disable_numparse=True).splitlines()[2].strip(" \\")


def format_mean(values: Sequence[float], images: int = 0) -> str:
    """Mean with its 95 % interval: over seeds if their values differ, else over images if `images` is given."""
    sample = Sample(values if len(set(values)) > 1 else values[:1], images)
    return format_percentage(intervals.mean_ci(sample), 1)
