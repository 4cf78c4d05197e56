"""Learning curves and test results of run folders, as Markdown.

Every number is read from a run's own files; the documentation is filled with what `curves` prints.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_pl.config.migration import migrate_record
from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import METRICS, PROVENANCE, RESULT
from alexnet_pl.runs.metrics_log import images_per_second, validations


def curves(runs: list[Path]) -> Iterator[str]:
    """Validation errors in percent, centre view, a column for top-1 and top-5 of each run."""
    found = [validations(run) for run in runs]
    yield "| step | " + " | ".join(f"{run.name} top-1 error % | top-5 error %" for run in runs) + " |"
    yield "| ---: |" + " ---: | ---: |" * len(runs)
    for step in sorted(set().union(*found)):
        cells = [cell(rows[step], name) if step in rows else "" for rows in found for name in ("top1", "top5")]
        yield f"| {step} | " + " | ".join(cells) + " |"


def cell(row: dict[str, str], name: str) -> str:
    return f"{float(row[f'val/{name}_error']):.2f}"


def describe_run(run: Path) -> str:
    """The data, the machine and the commit of a run's first session."""
    facts: dict[str, Any] = json.loads((run / PROVENANCE).read_text())["sessions"][0]
    machine = ", ".join(facts["gpus"]) or f"{facts['cpus']} CPU cores"
    rate = images_per_second(run)
    speed = f"{rate:,.0f} images/s" if rate else "images/s not logged"
    changed = " with uncommitted changes" if facts["changed_files"] else ""
    return (
        f"- `{run.name}`: {facts['store']['name']} ({facts['store']['fingerprint'][:12]}), {machine}, "
        f"{speed}, commit {(facts['commit'] or 'none')[:10]}{changed}"
    )


def result(run: Path) -> str:
    """One line of a run's `result.json`."""
    found = migrate_record(json.loads((run / RESULT).read_text()))
    low, high = found["top1_error_interval"]
    total, step = found["dataset"]["images"], found["checkpoint"]["step"]
    part = "" if found["images"] == total else f" of {total:,}"
    what, count = f"{found['dataset']['name']} {found['dataset']['split']}", f"{found['images']:,}{part}"
    errors = f"{found['top1_error']:.2f} ({low:.2f} to {high:.2f}) | {found['top5_error']:.2f}"
    return f"| {run.name}, step {step:,} | {what} | {count} | {found['views']} | {errors} |"


def curves_page(runs: list[Path]) -> Iterator[str]:
    """Facts, learning curves and, where there are any, test results. Raises UserError for what is no run folder."""
    for run in runs:
        for name in (METRICS, PROVENANCE):
            if not (run / name).is_file():
                raise UserError(f"{run}: not a run folder (no {name} in it)")
    yield from map(describe_run, runs)
    yield ""
    yield from curves(runs)
    if tested := [run for run in runs if (run / RESULT).is_file()]:
        yield "\n| run | images of | images | views | top-1 error % (95 %) | top-5 error % |"
        yield "| --- | --- | ---: | --- | --- | ---: |"
        yield from map(result, tested)
