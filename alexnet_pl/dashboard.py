"""`dashboard`: W&B's workspace and report of panels.py, saved to a person's project; offline, told and written down."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from alexnet_pl import panels
from alexnet_pl.errors import UserError, reason
from alexnet_pl.loggers import offline
from alexnet_pl.report import collected
from alexnet_pl.rows import make_rows
from alexnet_pl.telling import say

SAVED = "saved.json"  # which view and report of a project are ours, to be replaced the next time


def dashboard(cfg: DictConfig, folder: Path) -> None:
    panels.libraries()
    tests = collected(cfg)
    if offline():
        entity = cfg.wandb.get("entity") or "YOU"
        made = (
            panels.workspace(entity, cfg.wandb.project),
            panels.written_report(entity, cfg.wandb.project, make_rows(tests)),
        )
        outline(*made)
        path = Path(cfg.report.output) if cfg.report.output else folder / "dashboard.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(spec(*made), indent=1) + "\n")
        return say("not logged in to W&B, so nothing was saved there; wandb login, then the same command", path)
    try:
        said = save(cfg, folder, tests)
    except UserError:
        raise
    except Exception as error:  # the network, the server, the library: each has errors of its own
        raise UserError(f"dashboard: W&B did not take it ({reason(error)})") from error
    print("\n".join(f"→ {url}" for url in said), flush=True)


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


def save(cfg: DictConfig, folder: Path, tests: Any) -> list[str]:
    """The addresses of workspace and report; those saved before by this folder are replaced."""
    import wandb

    entity = cfg.wandb.get("entity") or wandb.Api().default_entity
    if not entity:
        raise UserError("wandb.entity has no value yet, and W&B knows none: add wandb.entity=NAME, a user or team")
    kept = folder / SAVED
    before = json.loads(kept.read_text()) if kept.is_file() else {}
    there = before.get(f"{entity}/{cfg.wandb.project}", {})
    report = panels.written_report(entity, cfg.wandb.project, make_rows(tests))
    view = panels.workspace(entity, cfg.wandb.project)
    report.id = there.get("report", "")
    view._internal_name, view._internal_id = there.get("view_name", ""), there.get("view", "")
    report.save()  # makes the project where there is none
    view.save()
    now = {"report": report.id, "view": view._internal_id, "view_name": view._internal_name}
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({**before, f"{entity}/{cfg.wandb.project}": now}, indent=1) + "\n")
    return [view.url, report.url]


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
    """What a panel reads of a run; a config key, by which it groups, as `config.KEY`."""
    found = [name for field in ("y", "metrics", "media_keys") for name in getattr(panel, field, [])]
    if table := getattr(panel, "table_name", None):
        found.append(table)
    if by := getattr(panel, "groupby", None):
        found.append(f"config.{by.name}")
    return found


def brief(names: list[str]) -> list[str]:
    """The first and the last of many."""
    return names if len(names) <= 4 else [names[0], "…", names[-1]]
