"""Tables for the terminal and Markdown. On a terminal no word is broken and rows have few lines."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table as RichTable
from tabulate import tabulate

from alexnet_pl.column_widths import fit_columns
from alexnet_pl.console import mask_lines
from alexnet_pl.escape import escape_html

Notes = tuple[str, ...]
GLUE = "\ue000"  # for the space in "13 %" while lines are broken: rich and str.split break at a no-break space too


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


def note_rest(total: int, shown: int) -> Notes:
    """Note below a table of the first `shown` of `total` rows; none if those are all."""
    return (f"… and {total - shown:,} more",) if total > shown else ()


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
    """Table with borders whose cells are wrapped to `width` characters, between words if they fit; no line begins with
    the % of a number."""
    lines = [[re.sub(r"(?<=\d) (?=%)", GLUE, mask_lines(cell)) for cell in row] for row in (table.header, *table.rows)]
    columns = list(zip(*lines, strict=True))
    fitting = {pad: fit_columns(columns, width - len(columns) * (1 + 2 * pad) - 1) for pad in (1, 0)}
    pad = 1 if fitting[1] else 0
    widths = fitting[pad] or [None] * len(columns)
    header, *rows = [[wrap_cell(*cell) for cell in zip(line, widths, strict=True)] for line in lines]
    drawn = RichTable(padding=(0, pad))
    for name, cell_width, side in zip(header, widths, table.sides, strict=True):
        drawn.add_column(plain(name), justify=side, overflow="fold", width=cell_width)  # type: ignore[arg-type]
    for row in rows:
        drawn.add_row(*map(plain, row))
    return drawn


def wrap_cell(text: str, width: int | None) -> str:
    """Break the lines of a cell between words; not if its `width` is None. `GLUE` becomes a space."""
    if width:
        text = "\n".join(line for whole in text.split("\n") for line in wrap_line(whole, width))
    return text.replace(GLUE, " ")


def wrap_line(text: str, width: int) -> list[str]:
    """Break a line between words. Chinese and other wide characters take two columns of a terminal."""
    lines: list[str] = []
    for word in text.split():
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


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
