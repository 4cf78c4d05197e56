"""Check a composed config before anything is built: its sections, and the values that no constructor checks."""

import re
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.credentials import check_no_secret
from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.config.renamed_keys import refuse_renamed_keys
from alexnet_pl.config.schema import check_finite, check_keys, read_section
from alexnet_pl.config.sections import LOGGERS, OBJECTIVES, READ_BY_KEY, SCHEDULES, SECTIONS, VALUES
from alexnet_pl.errors import UserError

NESTED_KEY = re.compile(r"variant|\w+(\.\w+)+")  # overrides within a config set single keys, no sections
NOT_NESTED = ("hydra", "prepare", "predict", "bench", "report")
FITTED = ("data", "model", "augment", "optim", "schedule", "trainer", "transfer", "transfer.layers")
"""Sections and keys that the fit of a classifier needs; `~key` leaves one out."""
MAX_SEED = 2**32 - 1  # NumPy's limit; Lightning seeds NumPy too


def check_config(cfg: DictConfig) -> None:
    """Raise UserError, naming the key, for the first mistake in a composed config."""
    whole: dict[Any, Any] = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    refuse_renamed_keys(key for key, _ in dotted_leaves(whole))
    check_keys(cfg, (*VALUES, *SECTIONS), "")
    for name in SECTIONS:
        if name in cfg:
            check_is_section(cfg[name], name)
    check_required(cfg)
    if "schedule" in cfg:
        check_schedule(cfg)
    check_finite(whole, "")
    for name, section in READ_BY_KEY.items():
        read_section(section, cfg, name)
    check_values(cfg)
    check_nested_overrides((cfg.get("transfer") or {}).get("overrides"), "transfer.overrides")
    check_groups(cfg)
    check_secrets(cfg)


def check_required(cfg: DictConfig) -> None:
    if cfg.get("command") not in ("fit", "reproduce") or any(kind in cfg for kind in ("codes", "boxes")):
        return
    for key in FITTED:
        section, _, name = key.partition(".")
        if section not in cfg or (name and name not in cfg[section]):
            raise UserError(f"{key}: missing; {cfg.command} needs it")


def check_schedule(cfg: DictConfig) -> None:
    """Check the names in section `schedule`; its parts are checked when the chosen one is made."""
    schedule_name(cfg)
    check_keys(cfg.schedule, ("name", *SCHEDULES, "lr_by_activation"), "schedule")
    for name, section in cfg.schedule.items():
        if name != "name" and section is not None:
            check_is_section(section, f"schedule.{name}")


def schedule_name(cfg: DictConfig) -> str:
    """`schedule.name`. Raises UserError unless there is such a schedule."""
    if (name := cfg.schedule.get("name")) not in SCHEDULES:
        raise UserError(f"schedule.name={name}: one of {', '.join(SCHEDULES)}")
    return name


def check_values(cfg: DictConfig) -> None:
    """Check the keys outside sections."""
    if isinstance(cfg.seed, bool) or not isinstance(cfg.seed, int) or not 0 <= cfg.seed <= MAX_SEED:
        raise UserError(f"seed={cfg.seed}: a whole number from 0 to {MAX_SEED}")
    for key, known in {"objective": OBJECTIVES, "logger": LOGGERS}.items():
        if (value := cfg.get(key, known[0])) not in known:
            raise UserError(f"{key}={value}: one of {', '.join(known)}")


def check_groups(cfg: DictConfig) -> None:
    groups = (cfg.get("ensemble") or {}).get("groups") or {}
    if not isinstance(groups, DictConfig | dict) or not all(isinstance(one, DictConfig) for one in groups.values()):
        raise UserError("ensemble.groups: expected {NAME: {recipe: …, seeds: […]}}")
    for name, group in groups.items():
        check_nested_overrides(group.get("overrides"), f"ensemble.groups.{name}.overrides")


def check_nested_overrides(words: Any, where: str) -> None:
    """Raise UserError if overrides within a config set more than single keys of a network and its training, since they
    become words of a command line."""
    if words is not None and not isinstance(words, list | ListConfig):
        raise UserError(f"{where}={words}: a list of words key=value")
    for word in map(str, words or ()):
        key, _, value = word.lstrip("+~").partition("=")
        section = key.partition(".")[0]
        if not NESTED_KEY.fullmatch(key) or "=" not in word or section in NOT_NESTED:
            raise UserError(f"{where}: {word}: expected key=value with a key of the network or its training")
        if "${" in value:  # made by interpolations within the config: it would be resolved with the command line
            raise UserError(f"{where}: {word}: ${{…}} is not allowed in its value")
        if key in ("variant", "transfer.pretrain_recipe") and not re.fullmatch(r"\w+", value):
            raise UserError(f"{where}: {word}: only a name that is shipped")


def check_secrets(cfg: DictConfig) -> None:
    """Raise UserError for a URL with a password or token in the resolved values, which loggers record."""
    try:
        values: dict[Any, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException:  # an interpolation of a key that this command may not need
        values = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    for key, value in dotted_leaves(values):
        check_no_secret(key, value)


def check_is_section(value: Any, name: str) -> None:
    if not isinstance(value, DictConfig):
        given = "null" if value is None else value
        raise UserError(f"{name}={given}: this is a section; set its keys: {name}.KEY=VALUE")
