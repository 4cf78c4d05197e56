"""Files of a user's recipe: the recipe and those beside it that its `defaults` include."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_pl.config.nested_keys import names_code, walk_nodes
from alexnet_pl.config.renamed_keys import check_recipe_keys
from alexnet_pl.config.yaml_file import read_yaml
from alexnet_pl.errors import UserError

MAX_ALIASES = 16  # maximum in a user's recipe; nested, each can double the size


def check_recipe(path: Path) -> None:
    """Check a user's recipe and the recipes beside it that its `defaults` include. Raises UserError, naming the file,
    if one is corrupt, contains a renamed key, or names code to call."""
    if path.stem.endswith(".yaml") or not path.name.isprintable():  # Hydra would read a file named as the stem is
        raise UserError(f"{str(path)!r}: not a name for a recipe; rename it")
    hydra = read_yaml(path, MAX_ALIASES).get("hydra", {})
    if hydra is None:
        raise UserError(f"{path}: hydra: there is nothing below it; remove the line")
    if not isinstance(hydra, dict) or "searchpath" in hydra:
        raise UserError(f"{path}: hydra.searchpath: not allowed in a recipe; give it on the command line")
    check_included(path, ())


def check_included(path: Path, above: tuple[Path, ...]) -> None:
    """Check one recipe; `above`: recipes whose defaults lead to it."""
    if path in above:
        raise UserError(
            f"{above[-1]}: its defaults lead back to {path}, which is read before a shipped recipe of the same name: "
            f"rename {path.name} if you mean the shipped one, or remove it from the defaults"
        )
    config = read_yaml(path, MAX_ALIASES)
    check_recipe_keys(config, str(path))
    for key, _ in walk_nodes(config):
        if names_code(key):
            raise UserError(f"{path}: {key}: a recipe must not name code to call")
    for other in included_recipes(path.parent, config.get("defaults")):
        check_included(other, (*above, path))


def included_recipes(folder: Path, defaults: Any) -> Iterator[Path]:
    """Files in the recipe's folder that its `defaults` include: `other`, `group: option`, `override group: option`."""
    for entry in defaults if isinstance(defaults, list) else ():
        for group, option in entry.items() if isinstance(entry, dict) else [("", entry)]:
            group = str(group).split(" ")[-1].split("@")[0].strip("/")
            for name in option if isinstance(option, list) else [option]:
                path = folder / group / f"{str(name).split('@')[0].strip('/').removesuffix('.yaml')}.yaml"
                if path.is_file():
                    yield path
