"""Overrides on the command line, `key=value`: recognised, quoted for Hydra, matched with known keys."""

import os
import re
from collections.abc import Iterable, Iterator

from alexnet_pl.config.recipes import SHIPPED

PATHS = (
    "data.root", "prepare.source", "prepare.synsets", "bench.output", "report.output", "predict.images", "ckpt_path",
    "transfer.weights", "hydra.run.dir", "hydra.sweep.dir", "codes.features", "retrieval.codes",
)  # fmt: skip
STORES = "transfer.data_roots."  # also paths
# keys that an older run folder may not mention
LATER = (
    "trainer.", "schedule.logged", "transfer.network=", "transfer.freeze=", "transfer.rates.", "features.", "probe.",
    "retrieval.", "monitor.", "wandb.entity=", "report.output=", "test.scales=", "test.stride=", "test.aspect=",
    "test.score=",
)  # fmt: skip
# keys whose value is a list, which may be written without its brackets: 1,2,4,6
LISTS = ("test.scales", "probe.shots", "probe.penalties", "transfer.layers", "transfer.freeze")


def is_override(word: str) -> bool:
    """`key=value`, `+key=value`, `~key`: an override; `-m`, `--cfg`, and the `job` after it: Hydra's flags."""
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def allow_new_key(word: str, sweep: bool = False) -> str:
    """Let any option of Lightning's Trainer be given, also those that the recipes do not mention, and any path."""
    key, _, value = word.partition("=")
    if key in LISTS and not sweep and value[:1] != "[" and value != "null":
        word = f"{key}=[{value}]"
    if (
        (key in PATHS or key.startswith(STORES))
        and not sweep
        and value[:1] not in ("'", '"', "[", "$")
        and value != "null"
    ):
        return f"{key}={quote_value(os.path.expanduser(value))}"
    return f"++{word}" if word.startswith(LATER) else word


def quote_value(value: str) -> str:
    """A value in which Hydra reads no comma as a sweep and no brace as a list."""
    return "'" + value.replace("'", "\\'") + "'"


def quote_for_sweep(words: Iterable[str]) -> list[str]:
    """Overrides of a single run as those of a sweep, in which a comma outside quotes would part values."""
    return [word if "," not in word or re.search(r"['\"\[{]", word) else quote(word) for word in words]


def quote(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key}={quote_value(value)}"


def suggest_key(key: str) -> str:
    """ ", did you mean …?" from the keys of the shipped recipes."""
    import difflib

    keys, last = known_keys(), key.rpartition(".")[2]
    same = sorted(name for name in keys if name.rpartition(".")[2] == last)
    if key in keys:
        return f"; this recipe does not set it: write +{key}=…"
    found = same[:1] or difflib.get_close_matches(key, sorted(keys), 1)
    return f"; did you mean {found[0]}?" if found else "; --cfg job prints those there are"


def known_keys() -> set[str]:
    """Dotted keys of all shipped recipes."""
    from omegaconf import OmegaConf

    keys: set[str] = set()
    for path in [*SHIPPED.glob("*.yaml"), *SHIPPED.glob("variant/*.yaml")]:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        own = {key: config[key] for key in config if key != "hydra"} if isinstance(config, dict) else {}
        keys |= set(dotted(own))
    return keys


def dotted(config: dict, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")
