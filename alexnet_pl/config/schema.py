"""Instantiate config sections: each key is checked by name and type against the parameter that it sets."""

import difflib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import make_dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from alexnet_pl.config import migration
from alexnet_pl.config.credentials import check_no_secret
from alexnet_pl.config.run_config import check_nested_overrides
from alexnet_pl.config.sections import LOGGERS, OBJECTIVES, READ_BY_KEY, SCHEDULES, SECTIONS, VALUES
from alexnet_pl.errors import UserError, reason

Instance = TypeVar("Instance")
MAX_SEED = 2**32 - 1  # NumPy's limit; Lightning seeds NumPy too


REQUIRED = {  # what to pass for keys that many commands need
    "data.root": "FOLDER, the prepared store",
    "codes.features": "RUN, a run folder after `features`",
}


def describe_required(key: str) -> str:
    return f"{key} is required: pass {key}={REQUIRED.get(key, '…')}"


def instantiate(
    target: Callable[..., Instance],
    section: Mapping[str, Any] | DictConfig,
    where: str,
    given_keys: Mapping[str, str] = MappingProxyType({}),
    **given: Any,
) -> Instance:
    """Call `target(**section, **given)` after checking the section's keys and types against the signature.

    Raises UserError, naming `where.key` and, for an unknown key, the nearest known one. `given_keys`: config keys of
    arguments in `given` that other sections set, by name.
    """
    prefix = f"{where}." if where else ""
    parameters = inspect.signature(target).parameters
    known = [name for name in parameters if name not in given and name != "self"]
    check_keys(section, known, where)
    fields = [(name, type_of_parameter(parameters[name])) for name in map(str, section)]
    try:
        schema = OmegaConf.structured(make_dataclass("Section", fields))
        resolved = OmegaConf.to_container(section, resolve=True) if isinstance(section, DictConfig) else section
        values = OmegaConf.to_container(OmegaConf.merge(schema, resolved), throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(describe_required(f"{prefix}{error.full_key}")) from error
    except OmegaConfBaseException as error:
        raise UserError(f"{prefix}{error.full_key}{describe_wrong_type(reason(error))}") from error
    assert isinstance(values, dict)
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in values:
            raise UserError(describe_required(prefix + name))
    check_finite(values, where)
    try:
        return target(**{str(key): value for key, value in values.items()}, **given)
    except ValueError as error:
        name, _, text = str(error).partition("=")
        raise UserError(f"{given_keys[name]}={text}" if name in given_keys else f"{prefix}{error}") from error


EXPECTED = {"Float": "a number", "Integer": "a whole number", "bool": "true or false"}
"""By the name of a type in OmegaConf's messages."""


def describe_wrong_type(message: str) -> str:
    """`=VALUE: expected …`, from OmegaConf's message on a value of another type."""
    found = re.match(r"Value '(.*)' (?:of type '\w+' could not be converted to|is not a valid) (\w+)", message)
    return f"={found[1]}: expected {EXPECTED[found[2]]}" if found and found[2] in EXPECTED else f": {message}"


def check_finite(values: Any, where: str) -> None:
    """Raise UserError, naming the key, for a number that is NaN or infinite."""
    for path, value in migration.leaves({where: values} if where else values):
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"{'.'.join(map(str, path))}={number}: expected a finite number")


def type_of_parameter(parameter: inspect.Parameter) -> Any:
    return Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation


def check_keys(section: Iterable[Any], known: Iterable[str], where: str) -> None:
    for key in section:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1) or sorted(known)
            name = f"{where}.{key}" if where else key
            raise UserError(f"{name}: unknown key; did you mean {f'{where}.' if where else ''}{near[0]}?")


def check_config(cfg: DictConfig) -> None:
    """Check a composed config before anything is built: its sections, and the keys, types and ranges of sections that
    commands read key by key."""
    whole: dict[Any, Any] = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    migration.refuse_renamed_keys(".".join(map(str, path)) for path, _ in migration.leaves(whole))
    check_keys(cfg, (*VALUES, *SECTIONS), "")
    for name in SECTIONS:
        if name in cfg:
            check_is_section(cfg[name], name)
    check_required(cfg)
    if "schedule" in cfg:
        check_schedule(cfg)
    check_finite(whole, "")
    for name, section in READ_BY_KEY.items():
        instantiate(section, cfg.get(name) or {}, name)
    check_values(cfg)
    check_nested_overrides((cfg.get("transfer") or {}).get("overrides"), "transfer.overrides")
    check_groups(cfg)
    check_urls(cfg)


FITTED = ("data", "model", "augment", "optim", "schedule", "trainer", "transfer", "transfer.layers")
"""Sections and keys that the fit of a classifier reads as a mapping; `~key` leaves one out."""


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


def check_urls(cfg: DictConfig) -> None:
    """Check the resolved values, which loggers record."""
    try:
        values: dict[Any, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException:  # an interpolation of a key that this command may not need
        values = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    for path, value in migration.leaves(values):
        check_no_secret(".".join(map(str, path)), value)


def check_is_section(value: Any, name: str) -> None:
    if not isinstance(value, DictConfig):
        given = "null" if value is None else value
        raise UserError(f"{name}={given}: this is a section; set its keys: {name}.KEY=VALUE")


def store_root(cfg: DictConfig) -> str:
    """Path or URL of the store, from `data.root`."""
    if OmegaConf.is_missing(cfg.data, "root"):
        raise UserError(describe_required("data.root"))
    return str(cfg.data.root)
