"""report.md and report.html: first the tables of what the runs measured, then the paper's other numbers."""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from tabulate import tabulate

from alexnet_pl.escape import escape_html
from alexnet_pl.table import Table, to_markdown

TITLE, CHART_TITLE = "Results beside the paper", "The paper's numbers beside ours"
STYLE = """:root { color-scheme: light dark; --ink: #1c2530; --paper: #ffffff; --soft: #f3f5f8; --line: #c9d1db }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf2; --paper: #0d1117; --soft: #1d232b; --line: #3b4450 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 80rem; padding: 1.2rem; font: 1rem/1.45 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem }
.wide { overflow-x: auto; overflow-wrap: normal }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
code { font-size: .95em }
tbody tr:nth-child(even) { background: var(--soft) }
img { display: block; width: 100%; min-width: 40rem; max-width: 64rem }
@media (max-width: 50rem) {
  table { width: max-content }
  td { max-width: 20rem; overflow-wrap: anywhere }
}
"""
PICTURE = """<picture>
<source media="(prefers-color-scheme: dark)" srcset="report-dark.png">
<img src="report.png" alt="Chart of the paper's numbers beside ours, which the tables contain">
</picture>"""


class ReportPage(NamedTuple):
    """`about`: a sentence on the runs; `measured`: tables with their results; `others`: the paper's other numbers."""

    about: str
    measured: Sequence[Table]
    others: Sequence[Table]

    @property
    def tables(self) -> list[Table]:
        return [*self.measured, *self.others]


def to_page(page: ReportPage) -> str:
    """Markdown with a title."""
    return f"# {TITLE}\n\n{escape_html(page.about)}\n\n{to_markdown(page.tables)}"


def to_html(page: ReportPage) -> str:
    """HTML page, light and dark, with report.png between the results and the other numbers; wide tables scroll."""
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{TITLE}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>",
        f"<main>\n<h1>{TITLE}</h1>\n<p>{escape(page.about)}</p>",
    ]
    chart = f"<h2>{CHART_TITLE}</h2>\n{scrolling(PICTURE, CHART_TITLE)}"
    parts = [*head, *map(html_table, page.measured), chart, *map(html_table, page.others), "</main>\n</body>\n</html>"]
    return "\n".join(parts) + "\n"


def html_table(table: Table) -> str:
    body = tabulate(table.rows, table.header, tablefmt="html", disable_numparse=True, colalign=table.sides)
    notes = [f"<p>{mark_code(escape(note))}</p>" for note in table.notes]
    return "\n".join([f"<h2>{escape(table.title)}</h2>", scrolling(mark_code(body), table.title), *notes])


def mark_code(html: str) -> str:
    """Commands and keys that Markdown shows as code."""
    return re.sub(r"`([^`<\n]+)`", r"<code>\1</code>", html)


def scrolling(content: str, name: str) -> str:
    """`tabindex`: to scroll by keyboard; a screen reader then says the name of the region."""
    return f'<div class="wide" role="region" aria-label="{escape(name)}" tabindex="0">\n{content}\n</div>'
