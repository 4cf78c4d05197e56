"""Keys of the shipped recipes, to suggest one for a misspelled key and to complete the command line."""

import difflib
from collections.abc import Iterator

from omegaconf import OmegaConf

from alexnet_pl.config.recipes import SHIPPED


def suggest_key(key: str, missing: str = "") -> str:
    """Text "; did you mean …?" with the nearest key of the shipped recipes: a misspelled key first, then the same key
    in another section. `missing`: the outermost part of the key that the recipe lacks."""
    keys, last = sorted(known_keys()), key.rpartition(".")[2]
    if key in keys and missing not in ("", key):
        return f"; this recipe has no section {missing}"
    if key in keys:
        return f"; this recipe does not set it: write +{key}=…"
    same = [name for name in keys if name.rpartition(".")[2] == last]
    found = difflib.get_close_matches(key, keys, 1, 0.9) or same[:1] or difflib.get_close_matches(key, keys, 1)
    return f"; did you mean {found[0]}?" if found else "; --cfg job prints all keys"


NOT_TYPED = ("hydra", "defaults", "command")  # Hydra's, and the first word of the command line


def known_keys() -> set[str]:
    """Dotted keys of all shipped recipes that a user can set."""
    keys: set[str] = set()
    for path in [*SHIPPED.glob("*.yaml"), *SHIPPED.glob("variant/*.yaml")]:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        own = {key: config[key] for key in config if key not in NOT_TYPED} if isinstance(config, dict) else {}
        keys |= set(dotted(own))
    return keys


def dotted(config: dict, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")
