"""`curves`: learning curves and test results of run folders as Markdown, for the documentation."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import fit_has_top5, has_top5, read_result
from alexnet_pl.runs.layout import METRICS, PROVENANCE, RESULT, collect_runs
from alexnet_pl.runs.metrics_log import Row, images_per_second, validations
from alexnet_pl.runs.provenance import read_sessions


class NamedRun(NamedTuple):
    """Run folder and its name in the tables."""

    name: str
    folder: Path


def name_runs(given: list[Path]) -> Iterator[NamedRun]:
    """Each run folder by its last part; those in or below another folder by their path in it.

    Raises UserError for a folder without runs.
    """
    for folder in given:
        below = [] if (folder / METRICS).is_file() else collect_runs([folder], METRICS)
        runs = below or [folder]
        for run in runs:
            for name in (METRICS, PROVENANCE):
                if not (run / name).is_file():
                    raise UserError(f"{run}: not a run folder, and holds none (no {name} in it)")
            yield NamedRun(run.relative_to(folder).as_posix() if below else run.name, run)


def curve_lines(runs: list[NamedRun]) -> Iterator[str]:
    """Lines of a Markdown table: validation errors in percent (centre view), top-1 and top-5 of each run."""
    logs = [validations(run.folder) for run in runs]
    columns = [(run, rows, name) for run, rows in zip(runs, logs, strict=True) for name in shown_errors(run.folder)]
    heads = [f"{run.name} top-1 error %" if name == "top1" else "top-5 error %" for run, _, name in columns]
    yield "| step | " + " | ".join(heads) + " |"
    yield "| ---: |" + " ---: |" * len(columns)
    for step in sorted(set().union(*logs)):
        cells = [format_error(rows[step], name) if step in rows else "" for _, rows, name in columns]
        yield f"| {step} | " + " | ".join(cells) + " |"


def shown_errors(run: Path) -> tuple[str, ...]:
    return ("top1", "top5") if fit_has_top5(run) else ("top1",)


def format_error(row: Row, name: str) -> str:
    return f"{row[f'val/{name}_error']:.2f}"


def describe_run(run: NamedRun) -> str:
    """List item with data set, machine, speed and commit of a run's first session."""
    session = read_sessions(run.folder)[0]
    rate = images_per_second(run.folder)
    speed = f"{rate:,.0f} images/s" if rate else "images/s not logged"
    changed = " with uncommitted changes" if session.changed_files else ""
    return (
        f"- `{run.name}`: {session.store.name} ({session.store.fingerprint[:12]}), {session.machine}, "
        f"{speed}, commit {(session.commit or 'none')[:10]}{changed}"
    )


def result_row(run: NamedRun) -> str:
    """Markdown table row of a run's `result.json`."""
    result = read_result(run.folder / RESULT)
    low, high = result.top1_error_interval
    part = "" if result.images == result.dataset.images else f" of {result.dataset.images:,}"
    images, count = f"{result.dataset.name} {result.dataset.split}", f"{result.images:,}{part}"
    top5 = f"{result.top5_error:.2f}" if has_top5(result.dataset.classes) else ""
    errors = f"{result.top1_error:.2f} ({low:.2f} to {high:.2f}) | {top5}"
    return f"| {run.name}, step {result.checkpoint.step:,} | {images} | {count} | {result.views} | {errors} |"


def curves_page(folders: list[Path]) -> Iterator[str]:
    """Lines of the page: runs, learning curves, test results. Raises UserError for a folder without runs."""
    runs = list(name_runs(folders))
    yield from map(describe_run, runs)
    yield ""
    yield from curve_lines(runs)
    if tested := [run for run in runs if (run.folder / RESULT).is_file()]:
        yield "\n| run | images of | images | views | top-1 error % (95 %) | top-5 error % |"
        yield "| --- | --- | ---: | --- | --- | ---: |"
        yield from map(result_row, tested)
