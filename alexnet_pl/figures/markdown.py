"""Markdown page with the figures of a run, in a light and a dark version."""

from alexnet_pl.config.views import describe_views
from alexnet_pl.console import pluralize
from alexnet_pl.errors import UserError
from alexnet_pl.escape import escape_html, escape_marks
from alexnet_pl.evaluation.result import append_top5, describe_outdated, read_result
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures.figure1_page import describe_run
from alexnet_pl.figures.image_names import relation_to_paper
from alexnet_pl.figures.picture import picture_lines
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_metadata import read_import
from alexnet_pl.runs.layout import LAST, PROVENANCE, RESULT
from alexnet_pl.training.energy import describe_cost


def figures_page(
    run: TrainedRun, drawn: dict[str, tuple[str, str]], missing: dict[str, str], folder: str, command: str
) -> str:
    """Content of figures.md.

    drawn: (title, caption) by file name.
    missing: reason by title.
    folder: path of the figures, relative to the page.
    command: arguments of `figures`.
    """
    lines = [
        f"# Figures of a run on {escape_marks(str(run.cfg.data.name))}",
        "",
        f"Written by `python -m alexnet_pl figures {command}` from the run folder.",
        *map(escape_marks, run_facts(run)),
    ]
    lines = list(map(escape_html, lines))  # names come from files
    for name, (title, caption) in drawn.items():
        heading, caption = escape_html(title), escape_html(caption)
        lines += ["", f"## {heading}", "", *picture_lines(folder, name, title), "", caption]
    if missing:
        lines += ["", "## Not drawn", ""]
        lines += [escape_html(f"- {title}: {reason}") for title, reason in missing.items()]
    page = "\n".join(lines) + "\n"
    absolute = run.folder.is_absolute()  # a path of this machine, which the page leaves out
    return page.replace(str(run.folder), run.folder.name) if absolute else page


def run_facts(run: TrainedRun) -> list[str]:
    """List images, duration, machine and test result of a run."""
    lines, fit, result = [], fit_status.read_fit_status(run.folder), run.folder / RESULT
    if fit:
        store = fit.store
        cost = describe_cost(fit.seconds, fit.joules)
        done = f"{pluralize(fit.steps or 0, 'step')}, {pluralize(fit.epochs or 0, 'epoch')}, {cost}"
        ended = done if fit.finished else describe_unfinished(run)
        images = f"{store.images:,} images of {store.classes} classes{relation_to_paper(run, store.name)}"
        lines += [f"- trained on {images}: {ended}"]
    imported = read_import(run.checkpoint_info) if (run.folder / LAST).is_file() else None
    if imported:
        lines += [f"- weights imported from {imported.file}, format {imported.format}"]
    elif (run.folder / PROVENANCE).is_file():
        lines += [f"- {describe_run(run.folder)}"]
    if result.is_file():
        test = read_result(result)
        low, high = test.top1_error_interval
        lines += [
            f"- top-1 error {test.top1_error:.2f} % (95 %: {low:.2f} to {high:.2f})"
            f"{append_top5(test.dataset.classes, test.top5_error)}, of {test.images:,} {test.dataset.split} images, "
            f"{describe_views(test.views)}, step {test.checkpoint.step:,}"
        ]
        if outdated := describe_outdated(run.folder, test):
            lines += [f"- {outdated}"]
    return ["", *lines] if lines else []


def describe_unfinished(run: TrainedRun) -> str:
    """Describe the state of an unfinished fit."""
    try:
        return f"unfinished, step {read_checkpoint(run.checkpoint)['global_step']:,}"
    except UserError:
        return "no checkpoint yet"
