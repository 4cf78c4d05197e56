"""Translate the package's command line into Hydra's: `alexnet_pl fit -c configs/ilsvrc2012.yaml optim.lr=0.02`.

Hydra composes the config and owns sweeps, launchers and run folders. Our own conventions, a leading command, `-c FILE`
and `ckpt_path=last`, become Hydra's here. Everything else passes through untouched: `-m`, `--cfg job`,
`hydra/launcher=joblib`.
"""

from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from alexnet_pl.cli.folder_names import folder_name, name_fixed_keys
from alexnet_pl.commands.registry import COMMANDS, Command, find
from alexnet_pl.config.migration import refuse_renamed_overrides
from alexnet_pl.config.overrides import allow_new_key, is_override, quote_value
from alexnet_pl.config.recipe_checks import check_hydra_settings
from alexnet_pl.config.recipes import SHIPPED, config_for_hydra, find_recipe, is_run_config
from alexnet_pl.config.run_config import check_links
from alexnet_pl.console import is_first_process
from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import latest_checkpoint, run_of_checkpoint
from alexnet_pl.runs.started_config import STARTED

SWEEP = ("-m", "--multirun")
FOLDERS = ("hydra.run.dir=", "hydra.sweep.dir=", "hydra.sweep.subdir=")  # a run folder that the user gives
PLACES = (*FOLDERS, "hydra/launcher=")  # jobs of other launchers run at once
SUITE = "bench.suite"  # key set by the word after `bench`


def to_hydra(argv: list[str]) -> list[str]:
    """Translate the arguments of this package, without the program name, into Hydra's.

    Arguments that start with --config-path are Hydra's already and are returned unchanged. Lightning relies on that:
    under DDP it starts the other ranks with `sys.argv`, which has been translated by then.
    """
    if not argv or argv[0].startswith("--config-path"):
        return argv
    if argv[0].startswith("-") or is_override(argv[0]):
        raise UserError(f"{argv[0]}: a command comes first: {', '.join(COMMANDS)}")
    command = find(argv[0])
    recipe, rest = split_recipe(command, argv[1:])
    if not recipe and command.needs_checkpoint:
        raise UserError(f"{command.name}: no run folder given; for example {command.examples[0]}")
    path = find_recipe(recipe) if recipe or not command.default_recipe else SHIPPED / command.default_recipe
    flags = [word for word in rest if not is_override(word)]
    overrides = [word for word in rest if is_override(word)]  # Hydra expects them together, after its flags
    refuse_renamed_overrides(overrides)
    if nameless := [word for word in overrides if not word.lstrip("+~").partition("=")[0]]:
        raise UserError(f"{nameless[0]}: no key before the equals sign")
    if own := [word for word in overrides if word.lstrip("+~").partition("=")[0] == "command"]:
        raise UserError(f"{own[0]}: the command is the first word: alexnet_pl {command.name}")
    check_flags(command, flags)
    sweep = bool(set(SWEEP) & set(flags))  # in a sweep, a comma separates values, also of paths
    composed = config_for_hydra(path)
    if composed == path and path.parent != SHIPPED:
        check_hydra_settings(path, [allow_new_key(word, sweep) for word in overrides])
    where = [f"--config-path={composed.parent}", f"--config-name={composed.stem}", f"--config-dir={SHIPPED}"]
    words = stable_run_dir(command, path, attach_run(command, path, overrides, sweep), sweep)
    if not is_first_process():
        words.append("hydra.output_subdir=null")  # only the first process of a run writes its config
    given = [f"++command={command.name}", *(allow_new_key(word, sweep) for word in words)]
    return [*where, *flags, f"hydra.output_subdir={STARTED}", *given, *([name_fixed_keys(given)] if sweep else [])]


def check_flags(command: Command, words: list[str]) -> None:
    """Raise UserError for a flag that Hydra would refuse with its own usage, and for a word that is not a flag."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the flags")

    parser.error = refuse
    if stray := parser.parse_args(words).overrides:
        meant = "predict" in command.keys and Path(stray[0]).exists()
        raise UserError(f"{stray[0]}: settings are written key=value{f'; predict.images={stray[0]}?' if meant else ''}")


def split_recipe(command: Command, given: list[str]) -> tuple[str, list[str]]:
    """Split arguments into (recipe or run folder, other words). The recipe follows -c, or the command and -m."""
    recipe, rest = "", []
    start = int(bool(given) and given[0] in SWEEP)  # `fit -m demo`
    if command.name == "bench" and given and given[0].isalpha():
        rest.append(f"{SUITE}={given[0]}")
        given = given[1:]
    elif given[start:] and is_positional(given[start]):
        recipe, given = given[start], given[:start] + given[start + 1 :]
    words = iter(given)
    for word in words:
        if word in ("-c", "--config"):
            recipe = check_one_recipe(recipe, next(words, ""))
        elif word.startswith("--config="):
            recipe = check_one_recipe(recipe, word.removeprefix("--config="))
        else:
            rest.append(word)
    return recipe, rest


def is_positional(word: str) -> bool:
    return not word.startswith(("-", "+", "~")) and ("=" not in word or Path(word).exists())


def check_one_recipe(before: str, recipe: str) -> str:
    if before:
        raise UserError(f"-c {recipe}: only one recipe or run folder allowed; {before} is already given")
    return recipe


QUIET = ("hydra.job.name=alexnet_pl", "hydra/job_logging=none")
"""Settings of Hydra that recipes have and the config of a run folder lacks; Hydra would write a main.log."""


def attach_run(command: Command, recipe: Path, overrides: list[str], sweep: bool) -> list[str]:
    """Add the checkpoint and run folder of an earlier run if the command uses one. In a sweep, tests that run one
    after the other write to that folder too.

    A config read from a run folder has no settings for Hydra itself, so those are added too.
    """
    again = is_run_config(recipe)
    given = [word.removeprefix("ckpt_path=").strip("'\"") for word in overrides if word.startswith("ckpt_path=")]
    rest = [word for word in overrides if not word.startswith("ckpt_path=")]
    wanted = given[-1] if given else ("last" if again or command.needs_checkpoint else "null")
    if again and command.name == "ensemble":
        raise UserError("-c RUN cannot resume an ensemble; run its original command again")
    if again and command.name == "reproduce":
        where = f"hydra.run.dir={quote_value(str(recipe.parent.parent))}"
        return [*rest, where, *QUIET]
    if again and not command.stable_run_dir and (command.name == "prepare" or command.default_recipe):
        where = f"hydra.run.dir='runs/{command.name}/${{now:%Y-%m-%d_%H-%M-%S}}'"
        return [*overrides, where, *QUIET]
    if again and wanted == "auto" and not any(word.startswith("hydra.run.dir=") for word in overrides):
        overrides = [*overrides, f"hydra.run.dir={quote_value(str(recipe.parent.parent))}"]
    if command.name == "prepare" or command.stable_run_dir or command.default_recipe or wanted in ("null", "auto"):
        return [*overrides, *QUIET] if again else overrides
    runs = recipe.parent.parent if again else Path("runs") / recipe.stem
    checkpoint = latest_checkpoint(runs, wanted) if wanted in ("last", "best") else Path(wanted)
    if not checkpoint.is_file():
        raise UserError(f"ckpt_path={wanted}: no such file")
    found = [f"ckpt_path={quote_value(str(checkpoint.resolve()))}", *rest]
    if run := run_of_checkpoint(checkpoint.resolve()):
        if (run / ".hydra").exists():  # Hydra writes there before the command looks at the folder
            check_links(run)
        folder = quote_value(str(run))
        found += [f"hydra.run.dir={folder}", *output_subdir(command)]
        if sweep and command.name == "test" and not any(word.lstrip("+").startswith(PLACES) for word in rest):
            found += [f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=."]
    return [*found, *QUIET] if again else found


def output_subdir(command: Command) -> list[str]:
    """Where Hydra writes the config of a command in the folder of an earlier run. That of a fit becomes the folder's
    own."""
    return [] if command.name == "fit" else [f"hydra.output_subdir=.hydra/{command.name}"]


def stable_run_dir(command: Command, recipe: Path, overrides: list[str], sweep: bool) -> list[str]:
    """Add the fixed run folder of a command that resumes when repeated, unless the user gives a folder."""
    if not command.stable_run_dir or any(word.lstrip("+").startswith(FOLDERS) for word in overrides):
        return overrides
    if command.default_recipe:
        return [*overrides, f"hydra.run.dir=runs/{command.name}", "hydra.output_subdir=null"]
    if sweep:
        return [*overrides, f"hydra.sweep.dir='runs/{recipe.stem}/reproduce'"]
    return [*overrides, f"hydra.run.dir='runs/{recipe.stem}/{command.name}/{folder_name(overrides)}'"]
