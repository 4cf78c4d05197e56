"""`curves`: learning curves and test results of run folders as Markdown, for the documentation."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.console import print_warning
from alexnet_pl.errors import UserError
from alexnet_pl.escape import escape_html, escape_marks, format_code
from alexnet_pl.evaluation.result import fit_has_top5, has_top5, read_result
from alexnet_pl.files import list_paths
from alexnet_pl.runs.layout import METRICS, PROVENANCE, RESULT, collect_runs
from alexnet_pl.runs.metrics_log import Row, images_per_second, read_rows, validations
from alexnet_pl.runs.provenance import read_sessions
from alexnet_pl.table import Table, to_markdown

LEVEL = 4  # of the headings above tables, in a section of a notebook or page


class NamedRun(NamedTuple):
    """Run folder and its name in the tables."""

    name: str
    folder: Path


def name_runs(given: list[Path]) -> list[NamedRun]:
    """Each run folder by its last part; those below another folder by their path in it. Equal names get more parts.

    Raises UserError for a given folder that is neither a run folder nor holds one, and if no run has a validation.
    """
    lengths: dict[Path, int] = {}  # run → number of path parts in its name
    for folder in given:
        below = [] if (folder / METRICS).is_file() else collect_runs([folder], METRICS)
        for run in below or [check_run(folder)]:
            if problem := find_problem(run):
                print_warning(f"skipped: {problem}")
            else:
                lengths.setdefault(Path(os.path.abspath(run)), len(run.relative_to(folder).parts) or 1)
    if not lengths:
        raise UserError(f"{', '.join(map(str, given))}: no run with a logged validation of a classifier")
    return [NamedRun(name, run) for run, name in shortest_names(lengths).items()]


def check_run(folder: Path) -> Path:
    """Return the folder. Raises UserError if a file of a run is missing or corrupt."""
    if not folder.exists():
        raise UserError(f"{folder}: there is no such folder")
    for name in (METRICS, PROVENANCE):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: not a run folder (no {name} in it)")
    if not read_sessions(folder):
        raise UserError(f"{folder / PROVENANCE}: no session in it")
    read_rows(folder / METRICS)
    return folder


def find_problem(run: Path) -> str | None:
    """Reason why a run is not in the tables: a file is missing or corrupt, or no validation of a classifier is logged,
    as in fits of codes and boxes. None if there is no reason."""
    try:
        check_run(run)
    except UserError as error:
        return str(error)
    return None if validations(run) else f"{run}: no validation of a classifier in {METRICS}"


def shortest_names(lengths: dict[Path, int]) -> dict[Path, str]:
    """Names of absolute paths: as many last parts as given, and more where names would be equal."""
    names = {path: Path(*path.parts[-length:]).as_posix() for path, length in lengths.items()}
    counts = Counter(names.values())
    if len(counts) == len(names):
        return names
    return shortest_names({path: length + (counts[names[path]] > 1) for path, length in lengths.items()})


def learning_curves(folders: str | Path | Iterable[str | Path]) -> str:
    """Markdown table of validation errors in percent, center view: a column for each run, a row for each step.

    `folders`: one or several run folders, or folders of them. Raises UserError, naming the folder, if no run is there.
    """
    return to_markdown([curve_table(name_runs(list_paths(folders)))], LEVEL)


def curve_table(runs: list[NamedRun]) -> Table:
    """Validation errors in percent (center view), top-1 and top-5 of each run."""
    logs = [validations(run.folder) for run in runs]
    columns = [(run, rows, name) for run, rows in zip(runs, logs, strict=True) for name in shown_errors(run.folder)]
    heads = [f"{escape_marks(run.name)} top-{name[-1]} error %" for run, _, name in columns]
    rows = [
        [str(step), *(format_error(rows[step], name) if step in rows else "" for _, rows, name in columns)]
        for step in sorted(set().union(*logs))
    ]
    return Table("Validation, center view", ["step", *heads], rows, align="r" * (len(heads) + 1))


def shown_errors(run: Path) -> tuple[str, ...]:
    return ("top1", "top5") if fit_has_top5(run) else ("top1",)


def format_error(row: Row, name: str) -> str:
    return f"{row[f'val/{name}_error']:.2f}"


def describe_run(run: NamedRun) -> str:
    """List item with data set, machine, speed and commit of a run's first session."""
    rate = images_per_second(run.folder)
    speed = f"{rate:,.0f} images/s" if rate else "images/s not logged"
    return f"- {format_code(run.name)}: {escape_marks(read_sessions(run.folder)[0].describe(speed))}"


def result_row(run: NamedRun) -> list[str]:
    """Row of a run's `result.json`."""
    result = read_result(run.folder / RESULT)
    low, high = result.top1_error_interval
    part = "" if result.images == result.dataset.images else f" of {result.dataset.images:,}"
    images, count = escape_marks(f"{result.dataset.name} {result.dataset.split}"), f"{result.images:,}{part}"
    top5 = f"{result.top5_error:.2f}" if has_top5(result.dataset.classes) else ""
    errors = f"{result.top1_error:.2f} ({low:.2f} to {high:.2f})", top5
    return [
        f"{escape_marks(run.name)}, step {result.checkpoint.step:,}",
        images,
        count,
        escape_marks(result.views),
        *errors,
    ]


def curves_page(folders: list[Path]) -> str:
    """The page: runs, learning curves, test results. Raises UserError for a folder without runs."""
    runs = name_runs(folders)
    tables = [curve_table(runs)]
    if tested := [run for run in runs if (run.folder / RESULT).is_file()]:
        header = ["run", "images of", "images", "views", "top-1 error % (95 %)", "top-5 error %"]
        tables.append(Table("Tests", header, list(map(result_row, tested)), align="llrllr"))
    return "\n".join([*(escape_html(describe_run(run)) for run in runs), "", to_markdown(tables, LEVEL)])
