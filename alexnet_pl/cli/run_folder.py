"""Run folder of a command: the overrides that name it and its checkpoint, and its removal if it stays empty."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from alexnet_pl.cli.folder_names import folder_name
from alexnet_pl.commands.registry import Command
from alexnet_pl.config.overrides import quote_value
from alexnet_pl.config.recipes import is_run_config
from alexnet_pl.config.run_config import check_links
from alexnet_pl.console import is_first_process
from alexnet_pl.desktop_files import is_desktop_file, remove_empty
from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import is_run, latest_checkpoint, run_of_checkpoint

FOLDERS = ("hydra.run.dir=", "hydra.sweep.dir=", "hydra.sweep.subdir=")  # a run folder that the user gives
PLACES = (*FOLDERS, "hydra/launcher=")  # jobs of other launchers run at once
QUIET = ("hydra.job.name=alexnet_pl", "hydra/job_logging=none")
"""Settings of Hydra that recipes have and the config of a run folder lacks; Hydra would write a main.log."""


def attach_run(command: Command, recipe: Path, overrides: list[str], sweep: bool) -> list[str]:
    """Add the checkpoint and run folder of an earlier run if the command uses one. In a sweep, tests that run one
    after the other write to that folder too.

    A config read from a run folder has no settings for Hydra itself, so those are added too.
    """
    run = recipe.parent.parent if is_run_config(recipe) else None
    if command.name == "prepare" or command.default_recipe or command.stable_run_dir:
        words = choose_folder(command, run, overrides)
    else:
        words = choose_checkpoint(command, run, Path("runs") / recipe.stem, overrides, sweep)
    if run and sweep and not any(word.lstrip("+").startswith("hydra.sweep.dir=") for word in words):
        words = [*words, f"hydra.sweep.dir={new_folder_beside(run)}"]
    return [*words, *QUIET] if run else words


def new_folder_beside(run: Path) -> str:
    """Quoted folder beside a run, named by the time. Hydra's own are outputs/ and multirun/, where no command looks for
    runs. For a part of another run, such as RUN/pretrained, it is in a folder of the part's name beside those of the
    recipes; for another user's run, in runs/."""
    here = Path.cwd()
    whole = next((path for path in reversed(run.parents) if is_run(path) and path not in (here, *here.parents)), None)
    place = whole.parent.parent / run.name if whole else run.parent
    place = place if os.access(run.parent, os.W_OK) else Path("runs", place.name)
    return quote_value(f"{place}/${{now:%Y-%m-%d_%H-%M-%S-%f}}")


def choose_folder(command: Command, run: Path | None, overrides: list[str]) -> list[str]:
    """Run folder of a command that starts from no checkpoint, if its config is that of an earlier run."""
    if run and command.name == "ensemble":
        raise UserError("-c RUN cannot resume an ensemble; run its original command again")
    if run and command.name == "reproduce":
        return [*split_checkpoint(overrides)[1], f"hydra.run.dir={quote_value(str(run))}"]
    if run and not command.stable_run_dir:
        return [*overrides, f"hydra.run.dir='runs/{command.name}/${{now:%Y-%m-%d_%H-%M-%S}}'"]
    return overrides


def choose_checkpoint(
    command: Command, run: Path | None, recipe_runs: Path, overrides: list[str], sweep: bool
) -> list[str]:
    """Checkpoint from which a command starts, and its run folder. `run`: folder whose config the command reads;
    `recipe_runs`: folder of the recipe's runs otherwise."""
    wanted, rest = split_checkpoint(overrides)
    if wanted is None:
        wanted = "last" if run or command.needs_checkpoint else "null"
    if not wanted:
        raise UserError("ckpt_path= is empty; give last, best, null or a file")
    if wanted not in ("null", "auto"):
        return use_checkpoint(command, find_wanted(run or recipe_runs, wanted), rest, sweep)
    if command.needs_checkpoint:
        raise UserError(f"ckpt_path={wanted}: {command.name} needs a checkpoint; give last, best or a file")
    if not run or names_folder(overrides):
        return overrides
    if wanted == "auto":
        return [*overrides, f"hydra.run.dir={quote_value(str(run))}"]
    return [*overrides, f"hydra.run.dir={new_folder_beside(run)}"]  # a new network


def split_checkpoint(overrides: list[str]) -> tuple[str | None, list[str]]:
    """(value of the last `ckpt_path=`, or None if there is none; the other overrides)."""
    given = [word for word in overrides if word.lstrip("+").startswith("ckpt_path=")]
    value = given[-1].partition("=")[2].strip("'\"") if given else None
    return value, [word for word in overrides if word not in given]


def names_folder(overrides: list[str]) -> bool:
    """Whether the user gives a run folder."""
    return any(word.lstrip("+").startswith(FOLDERS) for word in overrides)


def find_wanted(runs: Path, wanted: str) -> Path:
    """File that `ckpt_path` names: a path, or the last or best checkpoint below `runs`."""
    checkpoint = latest_checkpoint(runs, wanted) if wanted in ("last", "best") else Path(os.path.expanduser(wanted))
    if not checkpoint.is_file():
        raise UserError(f"ckpt_path={wanted}: no such file")
    return checkpoint.resolve()


def use_checkpoint(command: Command, checkpoint: Path, overrides: list[str], sweep: bool) -> list[str]:
    """Add a checkpoint and its run folder, where the command writes its results."""
    words = [f"ckpt_path={quote_value(str(checkpoint))}", *overrides]
    if run := run_of_checkpoint(checkpoint):
        if (run / ".hydra").exists():  # Hydra writes there before the command looks at the folder
            check_links(run)
        folder = quote_value(str(run))
        words += [f"hydra.run.dir={folder}", *output_subdir(command)]
        if sweep and command.name == "test" and not any(word.lstrip("+").startswith(PLACES) for word in overrides):
            words += [f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=."]
    return words


def output_subdir(command: Command) -> list[str]:
    """Where Hydra writes the config of a command in the folder of an earlier run. That of a fit becomes the folder's
    own."""
    return [] if command.name == "fit" else [f"hydra.output_subdir=.hydra/{command.name}"]


def stable_run_dir(command: Command, recipe: Path, overrides: list[str], sweep: bool) -> list[str]:
    """Add the fixed run folder of a command that resumes when repeated, unless the user gives a folder."""
    if not command.stable_run_dir or names_folder(overrides):
        return overrides
    if command.default_recipe:
        return [*overrides, f"hydra.run.dir=runs/{command.name}", "hydra.output_subdir=null"]
    if sweep:
        return [*overrides, f"hydra.sweep.dir='runs/{recipe.stem}/reproduce'"]
    return [*overrides, f"hydra.run.dir='runs/{recipe.stem}/{command.name}/{folder_name(overrides)}'"]


def remove_if_empty(folder: Path) -> None:
    """Remove a run folder that holds only Hydra's files, as after `prepare` or an error, and parents left empty, but
    neither the working folder nor one that holds it."""
    if not is_first_process():
        with suppress(OSError):  # the first process's folder, which is not empty
            folder.rmdir()
        return
    if folder.exists() and {path.name for path in folder.iterdir() if not is_desktop_file(path)} <= {".hydra"}:
        shutil.rmtree(folder / ".hydra", ignore_errors=True)  # another job of the same second may remove it too
        with suppress(OSError):  # not empty
            here = Path.cwd()
            if not here.is_relative_to(folder.resolve()):
                remove_empty(folder)
            for parent in (folder.parent, folder.parent.parent):
                if here in parent.resolve().parents:
                    remove_empty(parent)


def check_is_text(folder: Path) -> None:
    """Raise UserError if a run folder's path is not UTF-8, since torch and Arrow cannot open files there."""
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"hydra.run.dir: {folder}: torch reads no files in a folder whose path is not UTF-8; rename it"
        ) from error
