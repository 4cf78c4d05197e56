"""Names of run folders, from overrides."""

import hashlib
import re
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from alexnet_pl.commands.registry import find
from alexnet_pl.config.recipes import STORES, quote_value

NOT_IN_FOLDER_NAME = (
    "data.root", "codes.features", "prepare.", "test.", "logger", "wandb.", "monitor.", "performance.", "distributed.",
    "hydra", "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.precision",
    "command=", "ckpt_path=", STORES,
)  # fmt: skip


def folder_name(overrides: Iterable[str]) -> str:
    """Folder name built from the overrides that decide the network."""
    return name_kept(word for word in map(normalize, overrides) if not word.startswith(NOT_IN_FOLDER_NAME))


def name_kept(words: Iterable[str]) -> str:
    return join_overrides(words) or "as-shipped"


def normalize(word: str) -> str:
    """Override without `+`, its value in the form that Hydra's sweeper gives to the values of jobs: 0.01 for 1e-2."""
    word = word.lstrip("+")
    try:
        override = OverridesParser.create().parse_override(word)
        if override.is_delete():
            return word.removesuffix("=null")  # which the sweeper adds
        if override.is_sweep_override():  # outside a sweep, a list or a path with a comma
            return word
        return f"{override.get_key_element()}={write_value(override)}"
    except HydraException:  # a path that allow_new_key quotes, or an error that Hydra reports later
        return word


def write_value(override: Override) -> str:
    """Value without Hydra's backslashes, booleans in YAML's spelling."""
    text, value = override.get_value_element_as_str(), override.value()
    if isinstance(value, bool):
        return text.lower()
    return value if isinstance(value, str) and text[:1] not in ("'", '"') else text


def join_overrides(words: Iterable[str]) -> str:
    """At most 100 characters that are safe in a path; a hash replaces the end of a longer name."""
    name = re.sub(r"[^\w.=-]", "_", "_".join(sorted(words))).replace("=", "-")
    return name if len(name) <= 100 else name[:90] + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def job_folder(command: str, number: int, overrides: Sequence[str], fixed: Sequence[str]) -> str:
    """Folder of a sweep's job: its number and the overrides of swept keys, so without those of `fixed` keys.

    For a command that resumes when repeated, the name that a single run has, whatever else the sweep contains, and the
    swept keys that this name lacks: two jobs never share a folder.
    """
    words = [word.lstrip("+") for word in overrides]
    swept = [word for word in words if word.partition("=")[0] not in fixed]
    if find(command).stable_run_dir:
        kept = [word for word in words if word in swept or not word.startswith(NOT_IN_FOLDER_NAME)]
        return name_kept(map(normalize, kept))
    return "-".join(filter(None, [str(number), join_overrides(swept)]))


OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)  # for hydra.sweep.subdir in configs/_base.yaml


def name_fixed_keys(overrides: Sequence[str]) -> str:
    """Hydra's override that keeps the keys with one value for all jobs of a sweep out of the names of their folders."""
    parsed = OverridesParser.create().parse_overrides([word for word in overrides if not word.startswith("hydra")])
    fixed = [one.key_or_group for one in parsed if not one.is_sweep_override()]
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(quote_value, fixed))}]"
