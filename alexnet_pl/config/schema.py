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

from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.errors import UserError, reason

Instance = TypeVar("Instance")


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
    values = convert_types(section, {name: type_of_parameter(parameters[name]) for name in map(str, section)}, prefix)
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in values:
            raise UserError(describe_required(prefix + name))
    check_finite(values, where)
    try:
        return target(**values, **given)
    except ValueError as error:
        name, _, text = str(error).partition("=")
        raise UserError(f"{given_keys[name]}={text}" if name in given_keys else f"{prefix}{error}") from error


def convert_types(section: Mapping[str, Any] | DictConfig, types: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Resolved values of a section. Raises UserError, naming the key, for a missing value or one of another type."""
    try:
        schema = OmegaConf.structured(make_dataclass("Section", types.items()))
        resolved = OmegaConf.to_container(section, resolve=True) if isinstance(section, DictConfig) else section
        values = OmegaConf.to_container(OmegaConf.merge(schema, resolved), throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(describe_required(f"{prefix}{error.full_key}")) from error
    except OmegaConfBaseException as error:
        raise UserError(f"{prefix}{error.full_key}{describe_wrong_type(reason(error))}") from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def read_section(kind: Callable[..., Instance], cfg: DictConfig, name: str) -> Instance:
    """Instantiate the section `name` as `kind`; without it, which configs of older run folders lack, by defaults."""
    return instantiate(kind, cfg.get(name) or {}, name)


EXPECTED = {"Float": "a number", "Integer": "a whole number", "bool": "true or false"}
"""By the name of a type in OmegaConf's messages."""


def describe_wrong_type(message: str) -> str:
    """`=VALUE: expected …`, from OmegaConf's message on a value of another type."""
    if message.startswith("Incompatible value 'None'"):
        return "=null: this key needs a value"
    found = re.match(r"Value '(.*)' (?:of type '\w+' could not be converted to|is not a valid) (\w+)", message)
    return f"={found[1]}: expected {EXPECTED[found[2]]}" if found and found[2] in EXPECTED else f": {message}"


def check_finite(values: Any, where: str) -> None:
    """Raise UserError, naming the key, for a number that is NaN or infinite."""
    for key, value in dotted_leaves({where: values} if where else values):
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"{key}={number}: expected a finite number")


def type_of_parameter(parameter: inspect.Parameter) -> Any:
    return Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation


def check_keys(section: Iterable[Any], known: Iterable[str], where: str) -> None:
    for key in section:
        if key not in known:
            prefix, near = f"{where}." if where else "", difflib.get_close_matches(str(key), known, 1)
            advice = f"did you mean {prefix}{near[0]}?" if near else f"one of {', '.join(known)}"
            raise UserError(f"{prefix}{key}: unknown key; {advice}")


def store_root(cfg: DictConfig) -> str:
    """Path or URL of the store, from `data.root`."""
    if OmegaConf.is_missing(cfg.data, "root") or cfg.data.get("root") is None:
        raise UserError(describe_required("data.root"))
    return str(cfg.data.root)
