"""Names of run folders, from overrides."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from alexnet_pl.commands.registry import find
from alexnet_pl.config.identity import HARDWARE
from alexnet_pl.config.overrides import STORES, quote_value

NOT_IN_FOLDER_NAME = (
    "data.root", "codes.features", "prepare.", "test.", "logger", "wandb.", "monitor.", "performance.", "distributed.",
    "hydra", "command=", "ckpt_path=", STORES, *(f"trainer.{key}=" for key in HARDWARE),
)  # fmt: skip


def folder_name(overrides: Iterable[str]) -> str:
    """Folder name built from the overrides that decide the network."""
    return name_from_overrides(word for word in map(normalize, overrides) if not word.startswith(NOT_IN_FOLDER_NAME))


def name_from_overrides(words: Iterable[str]) -> str:
    return join_overrides(words) or "as-shipped"


def normalize(word: str) -> str:
    """Override without `+`, with its value as Hydra's sweeper writes the values of jobs: 0.01 for 1e-2."""
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
    name = make_safe("_".join(sorted(words)))
    return name if len(name) <= 100 else f"{name[:90]}-{digest(name)}"


def make_safe(text: str) -> str:
    return re.sub(r"[^\w.=-]", "_", text).replace("=", "-")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def job_folder(command: str, number: int, overrides: Sequence[str], fixed: Sequence[str]) -> str:
    """Folder of a sweep's job: its number and the overrides of swept keys, so without those of `fixed` keys.

    A command that resumes when repeated gets the name of a single run, plus the swept keys that this name lacks, so
    that two jobs never share a folder. Overrides of two jobs that would look alike, such as data.root=/a/b and /a_b,
    are followed by their digest; `fixed` also lists these digests (`name_fixed_keys`).
    """
    words = [word.lstrip("+") for word in overrides]
    swept = [word for word in words if word.partition("=")[0] not in fixed]
    if find(command).stable_run_dir:
        kept = [normalize(word) for word in words if word in swept or not word.startswith(NOT_IN_FOLDER_NAME)]
        return "-".join([name_from_overrides(kept), *(mark for mark in map(digest, kept) if mark in fixed)])
    return "-".join(filter(None, [str(number), join_overrides(swept)]))


OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)  # for hydra.sweep.subdir in configs/_base.yaml


def name_fixed_keys(overrides: Sequence[str]) -> str:
    """Hydra override that leaves keys with the same value in all jobs of a sweep out of folder names.

    Its list also has the digests of overrides that look like another job's, because a job knows only its own overrides.
    """
    parsed = OverridesParser.create().parse_overrides([word for word in overrides if not word.startswith("hydra")])
    fixed = [one.key_or_group for one in parsed if not one.is_sweep_override()]
    alike = [digest(word) for one in parsed if one.is_sweep_override() for word in look_alikes(one)]
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(quote_value, [*fixed, *alike]))}]"


def look_alikes(swept: Override) -> list[str]:
    """Overrides of a swept key that differ only in characters that folder names replace."""
    try:
        words = {normalize(f"{swept.get_key_element()}={value}") for value in swept.sweep_string_iterator()}
    except HydraException:  # values that a sweeper chooses later: numbers, or options of a group
        return []
    names = Counter(map(make_safe, words))
    return [word for word in words if names[make_safe(word)] > 1]
