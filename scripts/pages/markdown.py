"""Markdown of generated pages: tables, code blocks, and tables between two markers of a page."""

import math
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- generated: {} -->", "<!-- end -->"
NOTE = "<!-- Written by `make reference` from the code. Do not edit. -->\n"


def with_table(page: str, name: str, text: str) -> str:
    """Replace the content between the two markers `name` of a page by `text`."""
    begin = BEGIN.format(name)
    before, rest = page.split(begin, 1)
    _, after = rest.split(END, 1)
    return f"{before}{begin}\n{text}{END}{after}"


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def code(text: str, language: str = "bash") -> str:
    return f"```{language}\n{text}\n```\n"


def number(value: float, digits: int) -> str:
    """The number with `digits` decimals, none from 1,000; "" for nan."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def join(cells: Iterable[str]) -> str:
    return " / ".join(filter(None, cells))
