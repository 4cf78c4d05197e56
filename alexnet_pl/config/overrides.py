"""Overrides, `key=value`, as the user types them and as Hydra takes them."""

import json
import os
import re
from collections.abc import Iterable
from typing import Any

from omegaconf import OmegaConf

PATHS = (
    "data.root", "prepare.source", "prepare.synsets", "bench.output", "report.output", "predict.images", "ckpt_path",
    "transfer.weights", "hydra.run.dir", "hydra.sweep.dir", "codes.features", "retrieval.codes", "test.data",
    "test.labels", "report.runs", "prepare.boxes", "detect.blacklist",
)  # fmt: skip
STORES = "transfer.data_roots."  # these keys are paths too
# keys that recipes or older run folders may lack
LATER = (
    "model.width=", "trainer.", "schedule.logged", "transfer.network=", "transfer.freeze=", "transfer.rates.",
    "features.", "probe.", "retrieval.", "monitor.", "wandb.entity=", "report.output=", "test.scales=", "test.stride=",
    "test.aspect=", "test.score=", "data.shuffle=", "model.unit_biases=", "schedule.plateau.bias_drop=",
    "schedule.steps.biases=",
)  # fmt: skip
# keys whose list may be written without brackets: 1,2,4,6
LISTS = (
    "test.scales", "detect.scales", "boxes.scales", "probe.shots", "probe.penalties", "transfer.layers",
    "transfer.freeze", "model.unit_biases",
)  # fmt: skip
QUOTED = ("'", '"', "[", "$")  # first characters of quoted values, lists and interpolations


def is_override(word: str) -> bool:
    """Whether a word is an override (`key=value`, `+key=value`, `~key`), not a flag of Hydra (`-m`, `--cfg job`)."""
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def is_path(key: str) -> bool:
    """Whether the values of a key are paths."""
    return key in PATHS or key.startswith(STORES)


def allow_new_key(word: str, sweep: bool = False) -> str:
    """Prefix or quote an override so that Hydra accepts paths with special characters, and keys that the recipe lacks,
    such as options of Lightning's Trainer."""
    key, _, value = word.partition("=")
    if key in LISTS and not sweep and value[:1] not in QUOTED and value != "null":
        word = f"{key}=[{value}]"
    if is_path(key) and not sweep and value[:1] not in QUOTED and value != "null":
        return f"{key}={quote_value(os.path.expanduser(value))}"
    return f"++{word}" if word.startswith(LATER) else word


def read_override(word: str) -> tuple[str, Any]:
    """Key and value of an override as Hydra reads it: `optim={lr: 0.1}` sets a section."""
    from hydra.core.override_parser.overrides_parser import OverridesParser  # not at the top: `--help` needs no Hydra

    override = OverridesParser.create().parse_override(word)
    return override.key_or_group, override.value()


def read_section(words: Iterable[str], section: str) -> dict[str, Any]:
    """What overrides set in a section, by key or as a whole; later ones take precedence."""
    values = OmegaConf.create()
    for word in words:
        if word.startswith((f"{section}.", f"{section}=")):
            key, value = read_override(word)
            OmegaConf.update(values, key, value, force_add=True)
    found: Any = OmegaConf.to_container(values, resolve=False)
    return found.get(section) or {}


def quote_value(value: str) -> str:
    """Quote a value so that Hydra takes commas and braces literally."""
    return "'" + value.replace("'", "\\'") + "'"


def quote_literal(value: str) -> str:
    """Quote a value of a config or a path that becomes a word of a command line: `${` is text, not an interpolation."""
    return quote_value(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))


def format_override(key: str, value: object) -> str:
    """Override `key=value` of a plain value: booleans in YAML's spelling, lists without spaces."""
    text = str(value)
    if isinstance(value, bool):
        text = text.lower()
    elif isinstance(value, list):
        text = text.replace(" ", "")
    return f"{key}={text}"


def format_literal(key: str, value: object) -> str:
    """Override `key=value` of a value of a config, which Hydra reads back as it is."""
    value = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    if isinstance(value, list):
        return f"{key}=[{','.join(format_literal('', one)[1:] for one in value)}]"
    return f"{key}={quote_literal(value) if isinstance(value, str) else json.dumps(value)}"


def quote_for_sweep(words: Iterable[str]) -> list[str]:
    """Quote overrides of a single run for use in a sweep, where an unquoted comma separates values."""
    return [word if "," not in word or re.search(r"['\"\[{]", word) else quote_override(word) for word in words]


def quote_override(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key}={quote_value(value)}"
