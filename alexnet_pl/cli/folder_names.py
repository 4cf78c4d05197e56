"""Names of run folders, from overrides."""

import hashlib
import re
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
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
    words = (word.lstrip("+") for word in overrides)
    return join_overrides(word for word in words if not word.startswith(NOT_IN_FOLDER_NAME)) or "as-shipped"


def join_overrides(words: Iterable[str]) -> str:
    """At most 100 characters that are safe in a path; a hash replaces the end of a longer name."""
    name = re.sub(r"[^\w.=-]", "_", "_".join(sorted(words))).replace("=", "-")
    return name if len(name) <= 100 else name[:90] + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def job_folder(command: str, number: int, overrides: Sequence[str], fixed: Sequence[str]) -> str:
    """Folder of a sweep's job: its number and the overrides of swept keys, so without those of `fixed` keys.

    For a command that resumes when repeated, the name that a single run has, whatever else the sweep contains.
    """
    if find(command).stable_run_dir:
        return folder_name(overrides)
    words = (word.lstrip("+") for word in overrides)
    swept = join_overrides(word for word in words if word.partition("=")[0] not in fixed)
    return "-".join(filter(None, [str(number), swept]))


OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)  # for hydra.sweep.subdir in configs/_base.yaml


def name_fixed_keys(overrides: Sequence[str]) -> str:
    """Hydra's override that keeps the keys with one value for all jobs of a sweep out of the names of their folders."""
    parsed = OverridesParser.create().parse_overrides([word for word in overrides if not word.startswith("hydra")])
    fixed = [one.key_or_group for one in parsed if not one.is_sweep_override()]
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(quote_value, fixed))}]"
