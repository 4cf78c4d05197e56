"""CSV files whose text no spreadsheet computes as a formula."""

import csv
import re
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from alexnet_pl.temporary_files import replacing

NUMBER = re.compile(r"[+-][\d.]+( \([+-][\d.]+ to [+-][\d.]+\))?")  # a difference, with its interval


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file row by row, replacing it atomically. Bytes of a name that are not UTF-8 become escapes."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(map(escape_formula, row) for row in rows)


def to_csv(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """CSV text with a header line, whose lines end with "\\n"."""
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(escape_formula, row) for row in rows)
    return file.getvalue()


def escape_formula(cell: Any) -> Any:
    """Cell of a CSV file; text that a spreadsheet would compute as a formula gets an apostrophe before it."""
    is_text = isinstance(cell, str) and not NUMBER.fullmatch(cell)
    return f"'{cell}" if is_text and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
