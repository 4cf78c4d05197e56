"""Tables for the terminal and Markdown. On a terminal no word is broken and rows have few lines."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table as RichTable
from tabulate import tabulate

from alexnet_pl.console import mask_control, mask_lines

NUMBER = re.compile(r"[+-][\d.]+( \([+-][\d.]+ to [+-][\d.]+\))?")  # a difference, with its interval
Notes = tuple[str, ...]
Column = tuple[str, ...]
"""The header and the cells below it."""


@dataclass(frozen=True)
class Table:
    """`notes`: sentences below the table; `align`: "l" or "r" for each column, all left by default."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Notes = ()
    align: str = ""

    @property
    def sides(self) -> list[str]:
        return ["right" if side == "r" else "left" for side in self.align or "l" * len(self.header)]


def plain(text: str) -> str:
    """Text for rich, without markup and control characters: names come from files."""
    return escape_markup(mask_lines(text))


def print_tables(tables: Iterable[Table]) -> None:
    console = Console(highlight=False)
    for table in tables:
        if table.title:
            console.print(plain(table.title), style="bold", soft_wrap=True)
        console.print(to_rich_table(table, console.width))
        for note in table.notes:
            console.print(plain(note), soft_wrap=True)
        console.print()


def print_list(title: str, lines: Iterable[str]) -> None:
    """Print lines that are not wrapped, so that commands in them can be copied, under a title."""
    console = Console(highlight=False)
    console.print(plain(title), style="bold", soft_wrap=True)
    for line in lines:
        console.print(plain(line), soft_wrap=True)
    console.print()


def to_rich_table(table: Table, width: int) -> RichTable:
    """Table with borders whose cells are wrapped to `width` characters, between words if they fit."""
    columns = list(zip(table.header, *table.rows, strict=True))
    fitting = {pad: fit_columns(columns, width - len(columns) * (1 + 2 * pad) - 1) for pad in (1, 0)}
    pad = 1 if fitting[1] else 0
    drawn = RichTable(padding=(0, pad))
    for name, cell_width, side in zip(table.header, fitting[pad] or [None] * len(columns), table.sides, strict=True):
        drawn.add_column(plain(name), justify=side, overflow="fold", width=cell_width)  # type: ignore[arg-type]
    for row in table.rows:
        drawn.add_row(*map(plain, row))
    return drawn


def to_markdown(tables: Iterable[Table], level: int = 2) -> str:
    """Tables with headings of `level`, notes as paragraphs. Markdown in them is kept, HTML is shown as text: names come
    from files, and notebooks would run it."""
    parts = []
    for table in tables:
        header, *rows = [[escape_html(cell).replace("|", "\\|") for cell in row] for row in [table.header, *table.rows]]
        form = "pipe" if table.align else "github"  # the second cannot say how columns are aligned
        body = tabulate(rows, header, form, disable_numparse=True, colalign=table.sides)
        parts += [f"{'#' * level} {escape_html(table.title)}"] * bool(table.title)
        parts += [body, *map(escape_html, table.notes)]
    return "\n\n".join(parts) + "\n"


def escape_html(text: str) -> str:
    """Escape <, > and & outside of attributes."""
    return escape(text, quote=False)


def escape_formula(cell: Any) -> Any:
    """Cell of a CSV file; text that a spreadsheet would compute as a formula gets an apostrophe before it."""
    is_text = isinstance(cell, str) and not NUMBER.fullmatch(cell)
    return f"'{cell}" if is_text and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def escape_marks(text: str) -> str:
    """Escape Markdown's links, code and emphasis in text from records, for a page whose HTML is escaped later."""
    return re.sub(r"([\\`*\[\]])", r"\\\1", mask_control(text))


def escape_text(text: str) -> str:
    """Escape Markdown and HTML."""
    return escape_html(escape_marks(text))


def format_code(text: str) -> str:
    """Code within a line of Markdown, which text from records cannot leave."""
    return "`" + mask_control(text).replace("`", "'") + "`"


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
