"""Overrides that the user typed, as distinct from those of a recipe or a run folder."""

from collections.abc import Mapping
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from alexnet_pl.config.isolated_config import composed_files, is_isolated
from alexnet_pl.config.overrides import read_section
from alexnet_pl.config.schema import store_root
from alexnet_pl.errors import UserError
from alexnet_pl.runs.started_config import JOB_NUMBER


def typed_overrides() -> list[str]:
    """Overrides of the command line, without a leading `+`; [] if Hydra did not start the command."""
    if not HydraConfig.initialized():
        return []
    words = [word.lstrip("+") for word in HydraConfig.get().overrides.task]
    if not any(JOB_NUMBER in word for word in words) or not is_sweep_job():
        return words
    return [word.replace(JOB_NUMBER, str(HydraConfig.get().job.num)) for word in words]


def is_sweep_job() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def is_minimized() -> bool:
    """Whether a sweeper reads the objective of this fit; Hydra's own tries all values and reads none."""
    return (
        is_sweep_job()
        and "BasicSweeper" not in HydraConfig.get().sweeper._target_
        and "command=fit" in typed_overrides()
    )


def is_typed(key: str) -> bool:
    """Whether the user typed a key, alone or within its section."""
    section, _, name = key.partition(".")
    return name in read_section(typed_overrides(), section)


def started_recipe() -> Path | None:
    """File of the recipe that the command line composed; None for a run folder, whose config is no recipe."""
    if not HydraConfig.initialized():
        return None
    return next((path for path in composed_files(HydraConfig.get()) if not is_isolated(path)), None)


def refuse_typed(reasons: Mapping[str, str]) -> None:
    """Raise UserError if the user typed a key that the command does not read.

    `reasons`: by section or key, why it would have no effect.
    """
    for word in typed_overrides():
        key = word.partition("=")[0]
        if reason := reasons.get(key) or reasons.get(key.partition(".")[0]):
            raise UserError(f"{key}: not for {reason}")


def check_typed_store(cfg: DictConfig) -> None:
    """Raise UserError if `data.root` was typed but is not a store, for a command that does not open it.

    A config holds the keys of all commands, so keys that this command does not read are accepted. Without this check,
    the user would believe that the store was used.
    """
    if any(word.startswith("data.root=") for word in typed_overrides()):
        check_store(store_root(cfg))


def check_store(root: str) -> None:
    """Raise UserError unless there is a store at `root`."""
    from alexnet_pl.data.store.store import Store  # loads torch, which `--help` does without

    Store(root)
