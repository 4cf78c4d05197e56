"""Widths of the columns of a table on a terminal, so that no word is broken and rows have few lines."""

from collections.abc import Sequence
from functools import cache

from rich.cells import cell_len

Column = tuple[str, ...]
"""The header and the cells below it."""


def fit_columns(columns: Sequence[Column], total: int) -> list[int]:
    """Width of each column, at most `total` together; [] if the words are too long for that."""
    widths = [max([1, *(cell_len(word) for cell in column for word in cell.split())]) for column in columns]
    if sum(widths) > total:
        return []
    for cells in ([column[1:] for column in columns], columns):  # headers come last: they are one row
        widths = widen(cells, widths, total)
    return widths


def widen(columns: Sequence[Column], widths: Sequence[int], total: int) -> list[int]:
    """Widen columns while there is room and any cell is wrapped: those with the most lines first, among them the one
    that lacks the least."""
    wider = list(widths)
    wanted = [max(map(cell_len, column), default=0) for column in columns]
    while sum(wider) < total and (wrapped := [i for i, whole in enumerate(wanted) if wider[i] < whole]):
        wider[max(wrapped, key=lambda i: (count_lines(columns[i], wider[i]), wider[i] - wanted[i]))] += 1
    return wider


@cache
def count_lines(column: Column, width: int) -> int:
    """Lines of the highest cell of a column."""
    return max(count_cell_lines(cell, width) for cell in column)


def count_cell_lines(cell: str, width: int) -> int:
    lines, used = 1, 0
    for word in map(cell_len, cell.split()):
        if used and used + 1 + word > width:
            lines, used = lines + 1, word
        else:
            used += word + (used > 0)
    return lines
