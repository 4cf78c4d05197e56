"""Markdown page that shows the figures of a run, light or dark as the reader's screen."""

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import read_result
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures.figure1 import describe_run
from alexnet_pl.paper.claim import DATA
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import PROVENANCE, RESULT


def figures_page(
    run: TrainedRun, drawn: dict[str, tuple[str, str]], missing: dict[str, str], folder: str, command: str
) -> str:
    """`drawn`: by file name, title and caption; `missing`: by title, why; `folder`: where the files are from here;
    `command`: the words after `figures`."""
    lines = [
        f"# Figures of a run on {run.cfg.data.name}",
        "",
        f"Written by `python -m alexnet_pl figures {command}` from the run folder alone.",
        *facts(run),
    ]
    for name, (title, caption) in drawn.items():
        lines += ["", f"## {title}", "", *picture(folder, name, title), "", caption]
    if missing:
        lines += ["", "## Not drawn", ""]
        lines += [f"- {title}: {reason}" for title, reason in missing.items()]
    return ("\n".join(lines) + "\n").replace(str(run.folder), run.folder.name)  # not where it lies on this machine


def facts(run: TrainedRun) -> list[str]:
    """Facts of a run: images, duration, machine, test result."""
    lines, fit, result = [], fit_status.read_fit_status(run.folder), run.folder / RESULT
    if fit:
        store = fit["store"]
        other = "" if store["name"] in {images.name for images in DATA.values()} else ", a stand-in for the paper's"
        ended = f"{fit['steps']:,} steps, {fit['epochs']} epochs" if fit["finished"] else so_far(run)
        lines += [f"- trained on {store['images']:,} images of {store['classes']} classes{other}: {ended}"]
    if (run.folder / PROVENANCE).is_file():
        lines += [f"- {describe_run(run.folder)}"]
    if result.is_file():
        found = read_result(result)
        low, high = found["top1_error_interval"]
        lines += [
            f"- top-1 error {found['top1_error']:.2f} % (95 %: {low:.2f} to {high:.2f}), top-5 error "
            f"{found['top5_error']:.2f} %, of {found['images']:,} {found['dataset']['split']} images, "
            f"{found['views']} views, step {found['checkpoint']['step']:,}"
        ]
    return ["", *lines] if lines else []


def so_far(run: TrainedRun) -> str:
    """Step that the figures are of, for a training that is not finished."""
    try:
        return f"not at its end, step {read_checkpoint(run.checkpoint)['global_step']:,}"
    except UserError:
        return "no checkpoint yet"


def picture(folder: str, name: str, title: str) -> list[str]:
    return [
        "<picture>",
        f'<source media="(prefers-color-scheme: dark)" srcset="{folder}/{name}-dark.png">',
        f'<img alt="{title}" src="{folder}/{name}.png">',
        "</picture>",
    ]
