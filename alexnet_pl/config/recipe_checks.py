"""Checks of a user's recipe with its overrides: it must not configure Hydra, which would run code before a command."""

import re
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.recipes import SHIPPED, compose_file
from alexnet_pl.config.run_config import walk_nodes
from alexnet_pl.errors import UserError

GUARDED = ("job_logging", "hydra_logging", "callbacks", "job.env_set", "mode")
"""Nodes of Hydra that write files, call code, set environment variables or start a sweep before a command runs."""
CODE = [
    *(("launcher", key) for key in ("setup", "python", "srun_args")),
    *(("sweeper", key) for key in ("search_space", "custom_search_space")),
]
"""Settings of submitit and Optuna that are commands, or name functions or files that `sweep_words` does not see."""
PLUGINS = re.compile(
    r"(hydra_plugins|hydra\._internal\.core_plugins)[\w.]*\.\w+(Launcher|Sweeper)|optuna\.samplers\.\w+"
)
"""Classes that `_target_` may name: the launchers and sweepers that `defaults` choose."""
CHOICES = ("hydra/", "hydra.searchpath=")
"""Starts of typed words that decide which files Hydra reads."""
SWEPT = re.compile(r"[,(]")  # in an override: values of a sweep, or brackets with a comma


def check_hydra_settings(recipe: Path, overrides: Iterable[str]) -> None:
    """Raise UserError if a user's recipe, composed with overrides, names code to call or changes a node in `GUARDED` in
    any way.

    Overrides of these nodes on the command line are allowed, since they are the user's own. What does not compose here
    is not run: Hydra's error is raised, which is what the command line would end with.
    """
    if (folder := recipe.parent / "hydra").is_dir():
        raise UserError(f"{folder}: not allowed beside a recipe: Hydra would read its own settings there; rename it")
    typed = [word for word in overrides if word.lstrip("+~").startswith(CHOICES)]
    words = [word for word in overrides if word in typed or not word.lstrip("+~").startswith("hydra")]
    shipped_base = compose_file(SHIPPED / "_base.yaml", typed, with_hydra=True)
    try:
        found = [compose_file(recipe, words, with_hydra=True)]
    except (HydraException, OmegaConfBaseException):
        if not any(map(is_swept, words)):
            raise
        found = [compose_file(recipe, job, with_hydra=True) for job in sweep_jobs(recipe, words)]
    if own := sweep_words(recipe, found[0]):
        found += [compose_file(recipe, job, with_hydra=True) for job in sweep_jobs(recipe, [*words, *own])]
    for composed in found:
        check_guarded(recipe, composed, shipped_base)
        check_targets(recipe, composed, shipped_base)


def is_swept(word: str) -> bool:
    return bool(SWEPT.search(word)) and not word.startswith(CHOICES)


def sweep_words(recipe: Path, composed: DictConfig) -> list[str]:
    """Overrides that a recipe itself sweeps over."""
    sweeper: Any = OmegaConf.to_container(composed.hydra, resolve=False)["sweeper"]  # type: ignore[index, call-overload]
    params = (sweeper.get("params") or {}) if isinstance(sweeper, dict) else sweeper
    if not isinstance(params, dict):
        raise UserError(f"{recipe}: hydra.sweeper.params={params}: expected a section of keys")
    return [f"{key}={value}" for key, value in params.items()]


def sweep_jobs(recipe: Path, words: Iterable[str]) -> Iterator[list[str]]:
    """Overrides without those that are swept, then with each combination of files that a sweep chooses: which files one
    of them includes may depend on the others."""
    swept = [word for word in words if is_swept(word)]
    plain = [word for word in words if word not in swept]
    yield plain
    choices = []
    for key, _, value in (word.partition("=") for word in swept):
        group = key.strip("+/").partition("@")[0]
        if any((folder / group).is_dir() for folder in (recipe.parent, SHIPPED)):
            if "(" in value:
                raise UserError(f"{key}={value}: write the names, with commas between them: each file is checked")
            choices.append([f"{key}={name}" for name in value.split(",")])
    yield from ([*plain, *job] for job in product(*choices) if job)


def check_guarded(recipe: Path, composed: DictConfig, shipped_base: DictConfig) -> None:
    found, own = (OmegaConf.to_container(one.hydra, resolve=False) for one in (composed, shipped_base))
    for node in GUARDED:
        if find_node(found, node) != find_node(own, node):
            raise UserError(f"{recipe}: it sets hydra.{node}, which is not allowed in a recipe")
    for section, key in CODE:
        value, usual = (find_setting(one, section, key) for one in (found, own))
        if value and value != usual:
            raise UserError(f"{recipe}: it sets hydra.{section}.{key}, which is not allowed in a recipe")


def find_setting(config: Any, section: str, key: str) -> Any:
    """A setting; None if this launcher or sweeper has none of that name. A section that is to be computed stands for
    all of its settings."""
    return config[section].get(key) if isinstance(config[section], dict) else config[section]


def find_node(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def check_targets(recipe: Path, composed: DictConfig, shipped_base: DictConfig) -> None:
    """Raise UserError if a composed recipe names code other than `PLUGINS`, which Hydra's sweepers would call, or makes
    nodes out of text."""
    typed = dict(walk_nodes(OmegaConf.to_container(shipped_base, resolve=False)))
    for key, value in walk_nodes(OmegaConf.to_container(composed, resolve=False)):
        is_target = key.split(".")[-1] == "_target_"
        if is_target and typed.get(key) != value and not (key.startswith("hydra.") and PLUGINS.fullmatch(str(value))):
            raise UserError(f"{recipe}: {key}={value}: a recipe must not name code to call")
        if isinstance(value, str) and key.startswith("hydra.") and re.search(r"oc\.(create|decode)", value):
            raise UserError(f"{recipe}: {key}={value}: not allowed in a recipe")
