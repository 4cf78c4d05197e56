"""What a user's recipe may set below `hydra`. It is a list of what is allowed, since much of the rest calls code, sets
environment variables or writes files before a command runs."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.nested_keys import walk_nodes
from alexnet_pl.errors import UserError

PLUGINS = {
    "hydra/launcher": ("basic", "joblib", "submitit_local", "submitit_slurm"),
    "hydra/sweeper": ("basic", "optuna"),
    "hydra/sweeper/sampler": ("tpe", "random", "cmaes", "nsgaii", "motpe", "grid"),
}
"""Groups whose files a recipe may choose, with the names of Hydra's own plugins."""
FOLDERS = ("run.dir", "sweep.dir", "sweep.subdir")
LAUNCHER = (
    *("n_jobs", "backend", "prefer", "require", "verbose", "timeout", "batch_size"),  # joblib
    *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name", "stderr_to_stdout"),
    *("partition", "qos", "comment", "constraint", "exclude", "gres", "cpus_per_gpu", "gpus_per_task", "mem_per_gpu"),
    *("mem_per_cpu", "account", "signal_delay_s", "max_num_timeout", "array_parallelism"),
)
SBATCH = ("mail-user", "mail-type", "reservation", "nodelist", "licenses", "clusters", "exclusive", "nice", "hint")
SWEEPER = ("max_batch_size", "n_trials", "n_jobs", "direction", "study_name", "max_failure_rate")
WORDS = (
    "job.name",
    *(f"launcher.{name}" for name in LAUNCHER),
    *(f"launcher.additional_parameters.{name}" for name in SBATCH),
    *(f"sweeper.{name}" for name in SWEEPER),
)
"""Settings that are numbers, booleans or plain words: submitit writes them into a shell script."""
WORD = re.compile(r"[\w.,:@+&|*()\[\] -]*")
SAMPLER = re.compile(r"sweeper\.sampler\.\w+")
SWEPT_KEY = re.compile(r"\+{0,2}(?!hydra)[\w./@-]+")
INTERPOLATED = re.compile(r"\$\{now:(?:%[YymdHMSfjbB]|[\w:. -])*\}|\$\{((?:hydra:)?\w+(?:\.\w+)*)\}")


def choose_plugins(recipe: Path, composed: DictConfig, typed: list[str]) -> list[str]:
    """Add the launcher and sweeper that a recipe chooses to words that the user has typed."""
    keys = [word.lstrip("+~").partition("=")[0] for word in typed]
    choices: Any = OmegaConf.to_container(composed.hydra.runtime.choices, resolve=False)
    chosen = {key: name for key, name in choices.items() if key in PLUGINS and key not in keys}
    for key, name in chosen.items():
        if name not in PLUGINS[key]:
            raise UserError(f"{recipe}: {key}={name}: a recipe may choose {', '.join(PLUGINS[key])}")
    return [*typed, *(f"{key}={name}" for key, name in chosen.items())]


def read_params(recipe: Path, composed: DictConfig) -> list[str]:
    """Overrides that a recipe itself sweeps over. Raises UserError for a key or value that Hydra would compute."""
    hydra: Any = OmegaConf.to_container(composed.hydra, resolve=False)
    params = hydra["sweeper"].get("params") or {}
    if not isinstance(params, dict):
        raise UserError(f"{recipe}: hydra.sweeper.params={params}: expected a section of keys")
    for key, value in params.items():
        if not SWEPT_KEY.fullmatch(str(key)) or not is_literal(value):
            raise UserError(f"{recipe}: hydra.sweeper.params.{key}={value}: a recipe may sweep over its keys by values")
    return [f"{key}={value}" for key, value in params.items()]


def check_settings(recipe: Path, composed: dict[str, Any], usual: dict[str, Any], words: Iterable[str]) -> None:
    """Raise UserError if a composed recipe sets what it must not. `usual`: the node `hydra` of the shipped ones;
    `words`: overrides that it was composed with, to which no others may be added."""
    found, own = settings(composed["hydra"]), settings(usual)
    own |= {"job.config_name": recipe.stem, "job.override_dirname": found.get("job.override_dirname")}
    for key, value in found.items():
        if not (key in own and own[key] == value) and not may_set(key, value, composed):
            shown = " ".join(str(value).split())[:60]
            raise UserError(
                f"{recipe}: it sets hydra.{key}={shown}, which is not allowed in a recipe; type it if it is your own"
            )
    given = composed["hydra"]["overrides"]
    if sorted([*given["hydra"], *given["task"]]) != sorted(words):
        raise UserError(f"{recipe}: it sets hydra.overrides, which is not allowed in a recipe")


def settings(hydra: dict[str, Any]) -> dict[str, Any]:
    """Values below `hydra` by dotted key, without those that Hydra writes, and without the sweep (`read_params`)."""
    hydra = {key: node for key, node in hydra.items() if key not in ("runtime", "overrides")}
    if isinstance(hydra["sweeper"], dict):
        hydra["sweeper"] = {key: node for key, node in hydra["sweeper"].items() if key != "params"}
    return {key: value for key, value in walk_nodes(hydra) if not (value and isinstance(value, dict | list))}


def may_set(key: str, value: Any, composed: dict[str, Any]) -> bool:
    if key in FOLDERS:
        return isinstance(value, str) and is_folder(value, composed)
    if SAMPLER.fullmatch(key):
        return isinstance(value, int | float | None)
    return (key in WORDS and bool(WORD.fullmatch(str(value)))) or (key == "job.chdir" and not value)


def is_folder(text: str, composed: dict[str, Any]) -> bool:
    """Whether a path consists of text, times and keys of the recipe with plain values. Control characters are not
    allowed, since they would end a line in a launcher's script."""
    values = [find_value(composed, match[1].replace(":", ".")) for match in INTERPOLATED.finditer(text) if match[1]]
    return all(map(is_literal, [INTERPOLATED.sub("", text), *values]))


def is_literal(value: Any) -> bool:
    return not isinstance(value, dict | list) and "${" not in str(value) and str(value).isprintable()


def find_value(node: Any, key: str) -> Any:
    """Value of a dotted key; a list on the way is returned itself, so that none of its items passes unchecked."""
    for part in key.split("."):
        if isinstance(node, list):
            return node
        node = node.get(part) if isinstance(node, dict) else None
    return node
