"""`dashboard` offline: the W&B workspace and report of wandb_panels.py as a JSON file and as an outline."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from alexnet_pl.json_records import JsonObject


def export_spec(workspace: Any, report: Any) -> JsonObject:
    """JSON of the workspace as sent to W&B, and of the report's headings, texts and panels."""
    sent = {"by_alias": True, "exclude_none": True}
    return {
        "workspace": workspace._to_model().spec.model_dump(**sent),
        "report": [
            {"heading": title, "text": text, "panels": [panel._to_model().model_dump(**sent) for panel in shown]}
            for title, text, shown in report_parts(report)
        ],
    }


def print_outline(workspace: Any, report: Any) -> None:
    """Print the workspace's sections and panels with the metrics they read, and the report's headings."""
    console = Console(highlight=False)
    tree = Tree(f"[bold]workspace {escape(workspace.name)}[/bold]")
    for section in workspace.sections:
        branch = tree.add(escape(section.name))
        for panel in section.panels:
            branch.add(
                f"{escape(panel_title(panel))}[dim] ← {escape(', '.join(abbreviate(panel_metrics(panel))))}[/dim]"
            )
    console.print(tree)
    tree = Tree(f"[bold]report {escape(report.title)}[/bold]")
    for title, text, shown in report_parts(report):
        tree.add(escape(title) + ("" if text else f"[dim] {len(shown)} panels[/dim]"))
    console.print(tree)


def report_parts(report: Any) -> Iterator[tuple[str, str, list[Any]]]:
    """(heading, text, panels) of each part of the report; either text or panels is empty."""
    title = ""
    for block in report.blocks:
        if type(block).__name__ == "MarkdownBlock":
            yield block.text.splitlines()[0].lstrip("# "), block.text, []
        elif hasattr(block, "panels"):
            yield title, "", block.panels
        else:
            title = block.text


def panel_title(panel: Any) -> str:
    return getattr(panel, "title", None) or "Table"


def panel_metrics(panel: Any) -> list[str]:
    """Metrics shown in a panel, or their regular expression; `config.KEY` for a config key by which it groups."""
    names = [name for field in ("y", "metrics", "media_keys") for name in getattr(panel, field, [])]
    if regex := getattr(panel, "metric_regex", None):
        names.append(regex)
    if table := getattr(panel, "table_name", None):
        names.append(table)
    if key := getattr(panel, "groupby", None):
        names.append(f"config.{key.name}")
    return names


def abbreviate(names: list[str]) -> list[str]:
    """All names if there are at most four, else the first and the last."""
    return names if len(names) <= 4 else [names[0], "…", names[-1]]
