"""Instantiate config sections: every key is checked against the parameter that reads it, by name and type."""

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import make_dataclass
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from alexnet_pl.config import migration
from alexnet_pl.config.run_config import SECTIONS, check_overrides
from alexnet_pl.errors import UserError

Instance = TypeVar("Instance")
OPTIONS = {  # keys of sections that are read one by one
    "wandb": ("project", "entity"),
    "test": ("views", "save_predictions", "split"),
    "predict": ("images",),
    "bench": ("suite", "rounds", "output", "profile"),
    "report": ("runs", "images_per_second", "output"),
}


def instantiate(
    made: Callable[..., Instance], section: Mapping[str, Any] | DictConfig, where: str, **given: Any
) -> Instance:
    """`made(**section, **given)`, after the section's keys and types were held against the signature.

    Raises UserError that names `where.key` and, for an unknown one, the nearest that exists.
    """
    prefix = f"{where}." if where else ""
    parameters = inspect.signature(made).parameters
    known = [name for name in parameters if name not in given and name != "self"]
    check_keys(section, known, where)
    fields = [(name, annotation(parameters[name])) for name in map(str, section)]
    try:
        schema = OmegaConf.structured(make_dataclass("Section", fields))
        resolved = OmegaConf.to_container(section, resolve=True) if isinstance(section, DictConfig) else section
        values = OmegaConf.to_container(OmegaConf.merge(schema, resolved), throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(f"{prefix}{error.full_key} has no value yet: add {prefix}{error.full_key}=…") from error
    except OmegaConfBaseException as error:
        raise UserError(f"{prefix}{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(values, dict)
    check_finite(values, where)
    try:
        return made(**{str(key): value for key, value in values.items()}, **given)
    except ValueError as error:
        raise UserError(f"{prefix}{error}") from error


def check_finite(values: Any, where: str) -> None:
    """Raise UserError, naming the key, for a number that is NaN or infinite."""
    for path, value in migration.leaves({where: values} if where else values):
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"{'.'.join(map(str, path))}={number}: give a finite number")


def annotation(parameter: inspect.Parameter) -> Any:
    return Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation


def check_keys(section: Iterable[Any], known: Iterable[str], where: str) -> None:
    for key in section:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1) or sorted(known)
            name = f"{where}.{key}" if where else key
            raise UserError(f"{name}: unknown key; did you mean {f'{where}.' if where else ''}{near[0]}?")


def check_config(cfg: DictConfig) -> None:
    """The sections, and the keys of those that are read one by one, before anything is built."""
    whole: dict[Any, Any] = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    migration.check_keys(".".join(map(str, path)) for path, _ in migration.leaves(whole))
    check_keys(cfg, SECTIONS, "")
    for section, known in OPTIONS.items():
        check_keys(cfg.get(section) or {}, known, section)
    check_finite(whole, "")
    if not isinstance(cfg.seed, int) or cfg.seed < 0:
        raise UserError(f"seed={cfg.seed}: a whole number from 0")
    check_overrides((cfg.get("transfer") or {}).get("overrides"), "transfer.overrides")
    for name, group in ((cfg.get("ensemble") or {}).get("groups") or {}).items():
        check_overrides((group or {}).get("overrides"), f"ensemble.groups.{name}.overrides")


def store_root(cfg: DictConfig) -> str:
    """Path or URL of the store, from `data.root`."""
    if OmegaConf.is_missing(cfg.data, "root"):
        raise UserError("data.root has no value yet: add data.root=FOLDER, the prepared store")
    return str(cfg.data.root)
