"""Checks of a user's recipe with its overrides: it must not configure Hydra, which would run code before a command."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.hydra_settings import check_settings, choose_plugins, read_params
from alexnet_pl.config.nested_keys import names_code, walk_nodes
from alexnet_pl.config.recipes import SHIPPED, compose_file
from alexnet_pl.config.swept_files import find_swept_files
from alexnet_pl.errors import UserError

HYDRA = re.compile(r"[+~]*hydra([./@=]|$)")
CHOICE = re.compile(r"[+~]*hydra(/|\.searchpath=)")  # typed words that decide which files Hydra reads
UNCHECKED = re.compile(r"[+~]*hydra(\.sweeper(\.(params|search_space|custom_search_space)\b|[=@]|$)|[=@]|$)")
"""Typed words with a sweep that is read from the settings, not from the words."""


def check_hydra_settings(recipe: Path, overrides: Iterable[str]) -> None:
    """Raise UserError if a user's recipe, composed with overrides, names code to call, or sets what it must not below
    `hydra`, also in a file that only some jobs of a sweep include.

    Overrides of these nodes on the command line are allowed, since they are the user's own. A recipe that does not
    compose here is not run: Hydra's error is raised, with which the command line would end, too.
    """
    if (folder := recipe.parent / "hydra").is_dir():
        raise UserError(f"{folder}: not allowed beside a recipe: Hydra would read its own settings there; rename it")
    if unchecked := [word for word in overrides if UNCHECKED.match(word)]:
        raise UserError(f"{unchecked[0]}: not used with a recipe of your own; give a sweep as KEY=VALUE,VALUE")
    typed = [word for word in overrides if CHOICE.match(word)]
    words = [word for word in overrides if word in typed or not HYDRA.match(word)]
    if "command" not in compose_file(recipe, typed, sweep=True):  # a key of _base.yaml
        raise UserError(f"{recipe}: it extends no shipped recipe; add a line such as defaults: [demo, _self_]")
    started = compose_file(recipe, words, sweep=True)
    usual = compose_file(SHIPPED / "_base.yaml", choose_plugins(recipe, started, typed))
    check_composed(recipe, started, usual, words)
    params = read_params(recipe, started)
    for job in find_swept_files(recipe, [*params, *words]):
        check_composed(recipe, compose_file(recipe, job), usual, job)


def check_composed(recipe: Path, composed: DictConfig, usual: DictConfig, words: list[str]) -> None:
    found: Any = OmegaConf.to_container(composed, resolve=False)
    own: Any = OmegaConf.to_container(usual, resolve=False)
    check_settings(recipe, found, own["hydra"], words)
    for key, value in walk_nodes({name: node for name, node in found.items() if name != "hydra"}):
        if names_code(key):
            raise UserError(f"{recipe}: {key}={value}: a recipe must not name code to call")
