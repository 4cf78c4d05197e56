"""`report` and `dashboard`: the paper's tables beside what run folders have measured."""

import json
from collections.abc import Iterable, Sequence, Sized
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.commands.run_options import CurveOptions
from alexnet_pl.console import mask_lines, pluralize, print_message, shorten_path
from alexnet_pl.errors import UserError, reason
from alexnet_pl.figures.code_curves import picture_codes, save_code_curves
from alexnet_pl.figures.report_chart import draw_comparison_chart
from alexnet_pl.figures.style import save_drawing
from alexnet_pl.files import write_page
from alexnet_pl.json_records import write_json
from alexnet_pl.paper.box_results import BoxTestRun, collect_box_tests
from alexnet_pl.paper.deviations import measure_deviations
from alexnet_pl.paper.proxies import group_proxies
from alexnet_pl.paper.rows import ReportRow, make_rows
from alexnet_pl.paper.specialization import measure_specialization
from alexnet_pl.paper.unmatched import collect_unmatched
from alexnet_pl.reporting import (
    learning_curves,
    measured_page,
    norms_comparison,
    report_page,
    tables,
    wandb_panels,
    wandb_workspace,
)
from alexnet_pl.reporting.box_claim_tables import box_claim_tables, measured_claims
from alexnet_pl.reporting.box_page import boxes_page
from alexnet_pl.reporting.box_proxy_tables import box_proxy_tables
from alexnet_pl.reporting.code_tables import code_table, codes_page, collect_codes
from alexnet_pl.reporting.missing_rows import measured_throughput, missing_rows
from alexnet_pl.reporting.paper_tables import paper_tables
from alexnet_pl.reporting.report_csv import as_csv
from alexnet_pl.reporting.report_runs import collect_report_tests, report_roots
from alexnet_pl.reporting.terminal import print_outdated, print_report
from alexnet_pl.reporting.unmatched_table import reason_lines, unmatched_table
from alexnet_pl.training.wandb_login import is_offline

SAVED = "saved.json"  # ids of the saved view and report, to replace them in the next call


def report(cfg: DictConfig, folder: Path) -> None:
    """Print what the runs measured, and write all rows to report.md, .tex, .html, .csv and .png in the run folder."""
    roots, tests = report_roots(cfg), collect_report_tests(cfg)
    rows, proxy_results = make_rows(tests), group_proxies(tests)
    rate = cfg.report.images_per_second or measured_throughput(roots)
    code_tests, box_tests = collect_codes(roots), collect_box_tests(roots)
    unmatched = collect_unmatched(roots, tests, rows, box_tests)
    proxies = measured_page.proxy_page_tables(proxy_results, measure_deviations(tests), measure_specialization(tests))
    codes = [code_table(group) for group in code_tests]
    box_claims, box_proxies = box_claim_tables(box_tests), box_proxy_tables(box_tests)
    own_tables = [*proxies, *codes, *box_proxies]  # beside those of the papers
    print_report(rows, box_tests, own_tables, reason_lines(unmatched, roots), shorten_path(folder / "report.md"))
    print_outdated(tests)
    claimed, filled = [*paper_tables(rows), *box_claims], filled_tables(rows, box_tests)
    measured = [*(table for table in claimed if table.title in filled), *own_tables]
    measured += [unmatched_table(unmatched, roots)] if unmatched else []
    others = [*(table for table in claimed if table.title not in filled), missing_rows(rows, rate)]
    folder.mkdir(parents=True, exist_ok=True)
    write_whole_report(folder, report_page.ReportPage(describe_report(tests, roots), measured, others))
    write_page(folder / "report.csv", as_csv(rows, proxy_results))
    write_page(folder / "measured.md", measured_page.measured_page(proxies, tests, roots[0]))
    if code_tests:
        save_code_curves(code_tests, folder)
        write_page(folder / "codes.md", codes_page(code_tests, picture_codes(code_tests)))
    if box_tests:
        write_page(folder / "boxes.md", boxes_page([*box_claims, *box_proxies]))
    save_drawing(lambda theme: draw_comparison_chart(rows, proxy_results, theme), folder / "report")
    print_message(f"{pluralize(len(tests), 'test')}; report.md, .tex, .html, .csv and .png", folder)


def describe_report(tests: Sized, roots: Iterable[Path]) -> str:
    searched = f"{pluralize(len(tests), 'test')} in {', '.join(map(shorten_path, roots))}"
    return f"{searched}: first what these runs measured, then the paper's other numbers."


def write_whole_report(folder: Path, report: report_page.ReportPage) -> None:
    """Write all tables as Markdown, HTML and LaTeX."""
    write_page(folder / "report.md", report_page.to_page(report))
    write_page(folder / "report.html", report_page.to_html(report))
    write_page(folder / "report.tex", tables.to_latex(report.tables))


def filled_tables(rows: Sequence[ReportRow], box_tests: Sequence[BoxTestRun]) -> set[str]:
    """Titles of the paper's tables with a row that runs have measured."""
    measured = {row.claim.group for row in rows if row.needs_run and row.measured}
    return measured | {claim.group for claim in measured_claims(box_tests)}


def dashboard(cfg: DictConfig, folder: Path) -> None:
    """Save the W&B workspace and report, or without a login write them to a file."""
    wandb_panels.import_wandb_workspaces()
    tests = collect_report_tests(cfg)
    if is_offline():
        return write_outline(cfg, folder, tests)
    try:
        urls = save_dashboard(cfg, folder, tests)
    except UserError:
        raise
    except Exception as error:  # network, server and library each raise their own errors
        raise UserError(f"dashboard: W&B refused it ({reason(error)})") from error
    print("\n".join(f"→ {url}" for url in urls), flush=True)


def write_outline(cfg: DictConfig, folder: Path, tests: Any) -> None:
    entity, project = cfg.wandb.get("entity") or "YOU", cfg.wandb.project
    made = wandb_panels.build_workspace(entity, project), wandb_panels.build_report(entity, project, make_rows(tests))
    wandb_workspace.print_outline(*made)
    path = Path(cfg.report.output) if cfg.report.output else folder / "dashboard.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, wandb_workspace.export_spec(*made))
    print_message("not logged in to W&B, so nothing was saved there; wandb login, then the same command", path)


def save_dashboard(cfg: DictConfig, folder: Path, tests: Any) -> list[str]:
    """Save workspace and report, replacing those that this folder has saved before. Returns their URLs."""
    import wandb

    entity = cfg.wandb.get("entity") or wandb.Api().default_entity
    if not entity:
        raise UserError("wandb.entity is required, since W&B has no default: pass wandb.entity=NAME, a user or team")
    saved = folder / SAVED
    previous = json.loads(saved.read_text(encoding="utf-8")) if saved.is_file() else {}
    previous_ids = previous.get(f"{entity}/{cfg.wandb.project}", {})
    report = wandb_panels.build_report(entity, cfg.wandb.project, make_rows(tests))
    view = wandb_panels.build_workspace(entity, cfg.wandb.project)
    report.id = previous_ids.get("report", "")
    view._internal_name, view._internal_id = previous_ids.get("view_name", ""), previous_ids.get("view", "")
    report.save()  # creates the project if it does not exist
    view.save()
    ids = {"report": report.id, "view": view._internal_id, "view_name": view._internal_name}
    saved.parent.mkdir(parents=True, exist_ok=True)
    write_json(saved, {**previous, f"{entity}/{cfg.wandb.project}": ids})
    return [view.url, report.url]


def curves(runs: list[Path], options: CurveOptions) -> None:
    page = norms_comparison.norms_page(runs) if options.norms else learning_curves.curves_page(runs)
    print(mask_lines(page.rstrip()))
