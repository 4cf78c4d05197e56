"""`dashboard`: save the W&B workspace and report of wandb_panels.py, or write them to a file when offline."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree


def spec(workspace: Any, report: Any) -> dict[str, Any]:
    """The workspace as it would be sent. A report's sets of runs are put together by the server; here are its parts."""
    sent = {"by_alias": True, "exclude_none": True}
    return {
        "workspace": workspace._to_model().spec.model_dump(**sent),
        "report": [
            {"heading": title, "text": text, "panels": [panel._to_model().model_dump(**sent) for panel in shown]}
            for title, text, shown in parts(report)
        ],
    }


def outline(workspace: Any, report: Any) -> None:
    """Sections, panels, and what each reads of the runs; of the report, which has the same panels, the headings."""
    console = Console(highlight=False)
    tree = Tree(f"[bold]workspace {escape(workspace.name)}[/bold]")
    for section in workspace.sections:
        branch = tree.add(escape(section.name))
        for panel in section.panels:
            branch.add(f"{escape(title_of(panel))}[dim] ← {escape(', '.join(brief(metrics(panel))))}[/dim]")
    console.print(tree)
    tree = Tree(f"[bold]report {escape(report.title)}[/bold]")
    for title, text, shown in parts(report):
        tree.add(escape(title) + ("" if text else f"[dim] {len(shown)} panels[/dim]"))
    console.print(tree)


def parts(report: Any) -> Iterator[tuple[str, str, list[Any]]]:
    """(heading, text, panels) in order; one of the latter two is empty."""
    title = ""
    for block in report.blocks:
        if type(block).__name__ == "MarkdownBlock":
            yield block.text.splitlines()[0].lstrip("# "), block.text, []
        elif hasattr(block, "panels"):
            yield title, "", block.panels
        else:
            title = block.text


def title_of(panel: Any) -> str:
    return getattr(panel, "title", None) or "Table"


def metrics(panel: Any) -> list[str]:
    """Metrics that a panel shows; a config key by which it groups is `config.KEY`."""
    found = [name for field in ("y", "metrics", "media_keys") for name in getattr(panel, field, [])]
    if table := getattr(panel, "table_name", None):
        found.append(table)
    if by := getattr(panel, "groupby", None):
        found.append(f"config.{by.name}")
    return found


def brief(names: list[str]) -> list[str]:
    """The first and the last of many."""
    return names if len(names) <= 4 else [names[0], "…", names[-1]]
