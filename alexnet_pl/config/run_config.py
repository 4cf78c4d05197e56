"""The config in a run folder (`.hydra/config.yaml`), read as data.

Run folders are shared, so only the package's own keys are read from them, and no value may name code to call, read
the environment, or make a command write elsewhere.
"""

import re
from pathlib import Path
from typing import Any

from alexnet_pl.config.migration import migrate
from alexnet_pl.config.nested_keys import names_code, walk_nodes
from alexnet_pl.config.sections import SECTIONS, VALUES
from alexnet_pl.config.yaml_file import read_yaml
from alexnet_pl.console import print_warning
from alexnet_pl.errors import UserError

RUN_CONFIG = ".hydra/config.yaml"  # in a run folder
KNOWN = (*VALUES, *SECTIONS)  # top-level keys of a run's config
KEY = re.compile(r"\$\{[^${}:]*\}")  # interpolation of another key, without a nested one
MAX_NESTED_KEYS = 4  # maximum depth of nested interpolations; the recipes have one
WRITES = (("bench", "output"), ("report", "output"), ("prepare", "repair"))


def read_own_keys(path: Path) -> dict[str, Any]:
    """Known sections of a run's config; others are dropped and named on stderr."""
    config = migrate_file(path)
    if dropped := [str(key) for key in config if key not in KNOWN]:
        print_warning(f"alexnet_pl: {path}: ignored unknown keys: {', '.join(dropped)}")
    own = {key: value for key, value in config.items() if key in KNOWN}
    for name in SECTIONS:
        if not isinstance(own.get(name, {}), dict):
            raise UserError(f"{path}: {name}: expected a section of keys, not {str(own[name])[:40]}")
    drop_writes(own, path)
    find_relative_store(own, path)
    for key, value in walk_nodes(own):
        if names_code(key):
            raise UserError(f"{path}: {key}: a run's config must not name code to call")
        if isinstance(value, str) and not holds_keys_alone(value):
            raise UserError(f"{path}: {key}: {value[:40]}: a run's config may only interpolate ${{key}}")
    return own


def migrate_file(path: Path) -> dict[str, Any]:
    try:
        return migrate(read_yaml(path))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def holds_keys_alone(text: str) -> bool:
    """Whether all interpolations in a value refer to other keys.

    Resolvers are not allowed: ${oc.env:HOME} would copy the environment into a run's logs. A resolver's name may
    contain an interpolation, as in ${oc.${key}:HOME}.
    """
    for _ in range(MAX_NESTED_KEYS):
        text = KEY.sub("", text)
    return "${" not in text


def check_literal(value: Any, where: str) -> None:
    """Raise UserError if a value from a store or a checkpoint contains an interpolation, which would be resolved once
    it is in the config."""
    for key, inner in walk_nodes({where: value}):
        if isinstance(inner, str) and "${" in inner:
            raise UserError(f"{key}={inner[:40]}: ${{…}} is not allowed in a value from a file")


def drop_writes(config: dict[str, Any], path: Path) -> None:
    """Reset keys that would make a command write or repair files outside of the run, and name them on stderr."""
    for section, key in WRITES:
        node = config.get(section)
        if isinstance(node, dict) and node.get(key):
            print_warning(
                f"alexnet_pl: {path}: ignored, because it writes outside of the run: {section}.{key}={node[key]}"
            )
            node[key] = False if isinstance(node[key], bool) else None


def find_relative_store(config: dict[str, Any], path: Path) -> None:
    """Look in the folders above the run for a store that its config names by a relative path, unless it is below the
    working folder: a notebook does not run where the fit did."""
    root = config.get("data", {}).get("root")
    if not isinstance(root, str) or "://" in root or Path(root).is_absolute() or Path(root).exists():
        return
    above = (folder / root for folder in path.absolute().parents)
    config["data"]["root"] = str(next((store for store in above if (store / "store.json").is_file()), root))


def check_links(folder: Path) -> None:
    """Raise UserError for a link that leads out of the run folder, through which a command would write, for any link in
    `.hydra`, and for a special file such as a pipe, on which it would block."""
    root = folder.resolve()
    wandb = folder / "wandb"  # W&B links to its own logs here and replaces the links; it writes into subfolders
    for path in folder.rglob("*"):
        if wandb in path.parents and path.is_symlink() and not path.is_dir():
            continue
        if path.is_symlink():
            if path.relative_to(folder).parts[0] == ".hydra":
                raise UserError(f"{path}: a link, which a run folder's .hydra must not hold; replace it by a copy")
            if not path.resolve().is_relative_to(root):
                raise UserError(f"{path}: links to {path.resolve()}, outside of the run folder; replace it by a copy")
        elif not (path.is_file() or path.is_dir()):
            raise UserError(f"{path}: not a regular file or folder; remove it")
