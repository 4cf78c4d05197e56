"""`figures`: draw the figures for which a run folder has data; for the others, print the command that makes the data.

All runs of Figure 1's network share one figure and its page (figure1.py). Every other run gets RUN/figures/, with PNG
and SVG files, light and dark, and a page that shows them, RUN/figures.md.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from alexnet_pl.commands.options import FigureOptions, typed_options
from alexnet_pl.console import print_message
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.predict import find_images
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import figure1
from alexnet_pl.figures.catalog import figures_of
from alexnet_pl.figures.inside import inside_figures
from alexnet_pl.figures.markdown import figures_page
from alexnet_pl.figures.style import save_drawing
from alexnet_pl.runs.layout import CHECKPOINTS, CONFIG, METRICS, collect_runs, read_config


def figures(folders: list[Path], options: FigureOptions) -> None:
    """Draw the figures of all runs at or below `folders`. Raises UserError for a path that does not exist, or if
    nothing could be drawn."""
    runs, others = find_runs(folders)
    if not runs and not others:
        raise UserError(f"{', '.join(map(str, folders))}: no run folder there with {METRICS} or {CHECKPOINTS}")
    if options.pictures:
        find_images(options.pictures, "pictures")
    names = (folder.name if folder.is_absolute() else str(folder) for folder in folders)
    command_line = " ".join([*names, *typed_options(options)])
    errors = []
    for run in runs:
        only_run = len(runs) == 1 and not others
        own_dir = Path(options.out, "" if only_run else run.name) if options.out else run / "figures"
        try:
            draw_run(TrainedRun(run, options.root), own_dir, options, command_line)
        except UserError as error:  # continue with the other runs
            errors.append(error)
    for error in errors if len(errors) < len(runs) else []:
        print(f"not drawn: {error}", flush=True)
    if others:
        print(f"→ {figure1.write_figure1(folders, Path(options.out or 'docs'))}", flush=True)
    elif len(errors) == len(runs):
        raise errors[0]


def find_runs(folders: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """(runs drawn one by one, runs of Figure 1's network) in or below `folders`."""
    is_figure1: dict[Path, bool] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder")
        for run in collect_runs([folder], CONFIG):
            if (run / METRICS).is_file() or (run / CHECKPOINTS).is_dir():
                is_figure1[run] = read_config(run).model.get("name") == "conv"
    return [run for run, conv in is_figure1.items() if not conv], [run for run, conv in is_figure1.items() if conv]


def draw_run(run: TrainedRun, out: Path, options: FigureOptions, command: str) -> None:
    """Draw all figures of one run into `out`, and write the page beside it."""
    drawn, missing = {}, {}
    inside = inside_figures(options.pictures) if options.inside else {}
    for name, (title, make) in {**figures_of(run), **inside}.items():
        try:
            picture = make(run, options.photographs)
        except UserError as error:
            missing[title] = str(error)
            print(f"not drawn: {title}: {error}", flush=True)
            continue
        save_drawing(picture.drawing, out / name)
        if picture.data is not None:
            (out / f"{name}.json").write_text(json.dumps(picture.data, indent=1) + "\n")
        print(f"{title}: {picture.summary}", flush=True)
        drawn[name] = (title, picture.caption)
    if not drawn:
        raise UserError(f"{run.folder}: nothing can be drawn yet; {next(iter(missing.values()))}")
    path = out.with_name(f"{out.name}.md")
    path.write_text(figures_page(run, drawn, missing, out.name, command))
    print_message(f"{len(drawn)} figures as PNG and SVG, light and dark, in {out}", path)
