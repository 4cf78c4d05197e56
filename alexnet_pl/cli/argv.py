"""Translate the package's command line into Hydra's: `alexnet_pl fit -c configs/ilsvrc2012.yaml optim.lr=0.02`.

Hydra composes the config and owns sweeps, launchers and run folders. Our own conventions, a leading command, `-c FILE`
and `ckpt_path=last`, become Hydra's here. Everything else passes through untouched: `-m`, `--cfg job`,
`hydra/launcher=joblib`.
"""

from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from alexnet_pl.cli.folder_names import name_fixed_keys
from alexnet_pl.cli.run_folder import attach_run, stable_run_dir
from alexnet_pl.commands.registry import COMMANDS, Command, find
from alexnet_pl.config.overrides import allow_new_key, is_override
from alexnet_pl.config.recipe_checks import check_hydra_settings
from alexnet_pl.config.recipes import SHIPPED, config_for_hydra, find_recipe
from alexnet_pl.config.renamed_keys import refuse_renamed_overrides
from alexnet_pl.console import is_first_process
from alexnet_pl.errors import UserError
from alexnet_pl.runs.started_config import STARTED

SWEEP = ("-m", "--multirun")
REPLACING = ("config_path", "config_name", "config_dir", "experimental_rerun")  # Hydra's flags, as argparse names them
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
    path = recipe_of_command(command, recipe)
    flags = [word for word in rest if not is_override(word)]
    overrides = [word for word in rest if is_override(word)]  # Hydra expects them together, after its flags
    check_overrides(command, overrides)
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


def recipe_of_command(command: Command, recipe: str) -> Path:
    """File of the recipe or run folder given, or of the command's own recipe without one."""
    if recipe or not (command.needs_checkpoint or command.default_recipe):
        return find_recipe(recipe)
    if command.needs_checkpoint:
        raise UserError(f"{command.name}: no run folder given; for example {command.examples[0]}")
    return SHIPPED / command.default_recipe


def check_overrides(command: Command, words: list[str]) -> None:
    """Raise UserError for an override of a renamed key, without a key, or of the command."""
    refuse_renamed_overrides(words)
    keys = {word: word.lstrip("+~").partition("=")[0] for word in words}
    if nameless := [word for word, key in keys.items() if not key]:
        raise UserError(f"{nameless[0]}: no key before the equals sign")
    if own := [word for word, key in keys.items() if key == "command"]:
        raise UserError(f"{own[0]}: the command is the first word: alexnet_pl {command.name}")


def check_flags(command: Command, words: list[str]) -> None:
    """Raise UserError for a flag that Hydra would refuse with its own usage, for one that would replace the files that
    were checked, and for a word that is not a flag."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the flags")

    parser.error = refuse
    parsed = parser.parse_args(words)
    if replaced := [name for name in REPLACING if getattr(parsed, name)]:
        raise UserError(f"--{replaced[0].replace('_', '-')}: not used here; give a recipe as -c FILE")
    if stray := parsed.overrides:
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
