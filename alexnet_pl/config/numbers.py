"""Numbers that are given as text, as by an environment variable (`data.batch_size=${oc.env:BATCH}`) or in quotes."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.nested_keys import dotted_leaves

SECTIONS = ("data", "model", "augment", "optim", "schedule", "trainer")  # of which `training_signature` compares values
NAMES = ("data.name", "data.root")  # text that may look like a number
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")


def convert_numbers(cfg: DictConfig) -> None:
    """Replace numbers given as text, which would count as other settings than the recipe's, or fail when they are used
    in a calculation."""
    for section in SECTIONS:
        if not OmegaConf.is_dict(cfg.get(section)):
            continue
        values: Any = OmegaConf.to_container(cfg[section], resolve=False)
        for key, value in dotted_leaves({section: values}):
            if isinstance(value, str) and key not in NAMES:
                number = read_number(OmegaConf.select(cfg, key, throw_on_resolution_failure=False))
                if number is not None:
                    OmegaConf.update(cfg, key, number)


def read_number(value: Any) -> int | float | None:
    """The number that a text spells; None for other values."""
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        return None
    return float(value) if re.search(r"[.eE]", value) else int(value)
