"""`report` and `dashboard`: the paper's tables beside what run folders have measured."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.commands.options import CurveOptions
from alexnet_pl.console import print_message
from alexnet_pl.errors import UserError, reason
from alexnet_pl.paper.proxies import group_proxies
from alexnet_pl.paper.rows import make_rows
from alexnet_pl.reporting import (
    box_tables,
    learning_curves,
    norms_comparison,
    paper_tables,
    proxy_tables,
    tables,
    wandb_panels,
    wandb_workspace,
)
from alexnet_pl.reporting.chart import draw_comparison_chart
from alexnet_pl.reporting.code_tables import PAGE, code_tables
from alexnet_pl.training.loggers import is_offline

SAVED = "saved.json"  # which view and report of a project are ours, to be replaced the next time


def report(cfg: DictConfig, folder: Path) -> None:
    """Print the tables and write report.md, .tex, .html, .csv and .png to the run folder."""
    roots, tests = paper_tables.report_roots(cfg), paper_tables.collect_report_tests(cfg)
    rows, others = make_rows(tests), group_proxies(tests)
    rate = cfg.report.images_per_second or paper_tables.measured_throughput(roots)
    codes, box_tests = code_tables(roots), box_tables.collect_box_tests(roots)
    boxes = [*box_tables.box_claim_tables(box_tests), *box_tables.box_proxy_tables(box_tests)]
    proxies = [table for one in others for table in proxy_tables.proxy_tables(one)]
    made = [*paper_tables.paper_tables(rows), paper_tables.missing_rows(rows, rate), *proxies, *codes, *boxes]
    folder.mkdir(parents=True, exist_ok=True)
    tables.print_tables(made)
    for suffix, write in {"md": tables.to_markdown, "tex": tables.to_latex, "html": tables.to_html}.items():
        (folder / f"report.{suffix}").write_text(write(made))
    (folder / "report.csv").write_text(paper_tables.as_csv(rows, others))
    (folder / "proxies.md").write_text(proxy_tables.PROXIES + tables.to_markdown(proxies))
    if codes:
        (folder / "codes.md").write_text(PAGE + tables.to_markdown(codes))
    if box_tests:
        (folder / "boxes.md").write_text(box_tables.PAGE + tables.to_markdown(boxes))
    draw_comparison_chart(folder / "report.png", rows, others)
    print_message(f"{len(tests):,} tests; report.md, .tex, .html, .csv and .png", folder)


def dashboard(cfg: DictConfig, folder: Path) -> None:
    wandb_panels.import_wandb_workspaces()
    tests = paper_tables.collect_report_tests(cfg)
    if is_offline():
        entity = cfg.wandb.get("entity") or "YOU"
        project = cfg.wandb.project
        made = (
            wandb_panels.build_workspace(entity, project),
            wandb_panels.build_report(entity, project, make_rows(tests)),
        )
        wandb_workspace.print_outline(*made)
        path = Path(cfg.report.output) if cfg.report.output else folder / "dashboard.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wandb_workspace.export_spec(*made), indent=1) + "\n")
        return print_message(
            "not logged in to W&B, so nothing was saved there; wandb login, then the same command", path
        )
    try:
        said = save_dashboard(cfg, folder, tests)
    except UserError:
        raise
    except Exception as error:  # the network, the server, the library: each has errors of its own
        raise UserError(f"dashboard: W&B did not take it ({reason(error)})") from error
    print("\n".join(f"→ {url}" for url in said), flush=True)


def save_dashboard(cfg: DictConfig, folder: Path, tests: Any) -> list[str]:
    """The addresses of workspace and report; those saved before by this folder are replaced."""
    import wandb

    entity = cfg.wandb.get("entity") or wandb.Api().default_entity
    if not entity:
        raise UserError("wandb.entity has no value yet, and W&B knows none: add wandb.entity=NAME, a user or team")
    kept = folder / SAVED
    before = json.loads(kept.read_text()) if kept.is_file() else {}
    there = before.get(f"{entity}/{cfg.wandb.project}", {})
    report = wandb_panels.build_report(entity, cfg.wandb.project, make_rows(tests))
    view = wandb_panels.build_workspace(entity, cfg.wandb.project)
    report.id = there.get("report", "")
    view._internal_name, view._internal_id = there.get("view_name", ""), there.get("view", "")
    report.save()  # makes the project where there is none
    view.save()
    now = {"report": report.id, "view": view._internal_id, "view_name": view._internal_name}
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({**before, f"{entity}/{cfg.wandb.project}": now}, indent=1) + "\n")
    return [view.url, report.url]


def curves(runs: list[Path], options: CurveOptions) -> None:
    print("\n".join(norms_comparison.norms_page(runs) if options.norms else learning_curves.curves_page(runs)).rstrip())
