"""`figures`: draw the figures for which a run folder has data; for the others, print the command that makes the data.

All runs of configs/cifar10.yaml share Figure 1 and its page (figure1.py). Every other run gets RUN/figures/, with PNG
and SVG files, light and dark, and a page that shows them, RUN/figures.md.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from alexnet_pl.commands.run_options import FigureOptions, typed_options
from alexnet_pl.console import mask_control, print_message, print_warning, shorten_path
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.predict import find_images
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import figure1, figure1_runs
from alexnet_pl.figures.catalog import figures_of
from alexnet_pl.figures.inside import inside_figures
from alexnet_pl.figures.markdown import figures_page
from alexnet_pl.figures.style import save_drawing
from alexnet_pl.files import write_page
from alexnet_pl.json_records import write_json
from alexnet_pl.reporting.learning_curves import shortest_names
from alexnet_pl.runs.layout import CHECKPOINTS, CONFIG, METRICS, collect_runs, is_run


def figures(folders: list[Path], options: FigureOptions) -> None:
    """Draw the figures of all runs at or below `folders`. Raises UserError for a path that does not exist, or if
    nothing could be drawn."""
    runs, others = find_runs(folders)
    if not runs and not others:
        raise UserError(f"{', '.join(map(str, folders))}: no run folder there with {METRICS} or {CHECKPOINTS}")
    if options.pictures:
        find_images(options.pictures, "pictures")
    shown = (folder.name if folder.is_absolute() else str(folder) for folder in folders)
    command_line = " ".join([*shown, *typed_options(options)])
    names = {run: "" if len(runs) == 1 and not others else name for run, name in runs.items()}
    errors = draw_each(names, options, command_line)
    if errors and len(errors) == len(runs) and not others:
        raise errors[0]
    for error in errors:
        print_warning(f"not drawn: {error}")
    if reasons := [] if others else list(filter(None, map(figure1_runs.explain_left_out, runs))):
        print(mask_control(f"not drawn: Figure 1: {reasons[0]}"), flush=True)
    if others:
        print(f"→ {figure1.write_figure1(folders, Path(options.out or 'docs'))}", flush=True)


def draw_each(runs: Mapping[Path, str], options: FigureOptions, command_line: str) -> list[UserError]:
    """Draw the figures of each run, into its folder below `options.out` if that is given. Returns the errors of runs
    that could not be drawn."""
    errors = []
    for run, name in runs.items():
        own_dir = Path(options.out, name) if options.out else run
        try:
            draw_run(TrainedRun(run, options.root), keep_apart(own_dir), options, command_line)
        except UserError as error:
            errors.append(error)
    return errors


def keep_apart(out: Path) -> Path:
    """Folder of the pictures: `out`, or if that is a run folder, figures/ in it, apart from the run's own files."""
    return out / "figures" if is_run(out) else out


def find_runs(folders: Iterable[Path]) -> tuple[dict[Path, str], list[Path]]:
    """(runs drawn one by one, with their folder below `out`; runs of Figure 1) in or below `folders`.

    The folder below `out` is the run's path in the given folder, with more parts if two would be equal.
    """
    lengths: dict[Path, int] = {}  # run → number of path parts in its name
    others: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder")
        for run in filter(has_results, collect_runs([folder], CONFIG)):
            if figure1_runs.read_settings(run):
                others.append(run)
            else:
                lengths.setdefault(run, len(run.relative_to(folder).parts) or 1)
    names = shortest_names({Path(os.path.abspath(run)): length for run, length in lengths.items()})
    return {run: names[Path(os.path.abspath(run))] for run in lengths}, list(dict.fromkeys(others))


def has_results(run: Path) -> bool:
    return (run / METRICS).is_file() or (run / CHECKPOINTS).is_dir()


def draw_run(run: TrainedRun, out: Path, options: FigureOptions, command: str) -> None:
    """Draw all figures of one run into `out`, and write the page beside it."""
    drawn, missing = {}, {}
    out = Path(os.path.abspath(out))  # "." has no name
    inside = inside_figures(options.pictures) if options.inside else {}
    for name, (title, make) in {**figures_of(run), **inside}.items():
        try:
            picture = make(run, options.photographs)
        except UserError as error:
            missing[title] = str(error)
            print(mask_control(f"not drawn: {title}: {error}"), flush=True)
            continue
        save_drawing(picture.drawing, out / name)
        if picture.data is not None:
            write_json(out / f"{name}.json", picture.data)
        print(mask_control(f"{title}: {picture.summary}"), flush=True)
        drawn[name] = (title, picture.caption)
    if not drawn:
        raise UserError(f"{run.folder}: nothing can be drawn yet; {next(iter(missing.values()))}")
    path = out.with_name(f"{out.name}.md")
    write_page(path, figures_page(run, drawn, missing, out.name, command))
    print_message(f"{len(drawn)} figures as PNG and SVG, light and dark, in {shorten_path(out)}", path)
