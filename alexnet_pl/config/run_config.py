"""The config in a run folder (`.hydra/config.yaml`), read as data.

Run folders are shared, so nothing in one may configure Hydra, which can run code (`_target_`), write files
(`hydra.job_logging`) and set environment variables (`hydra.job.env_set`). Hydra composes a copy that holds the
package's own keys alone.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import ListConfig

from alexnet_pl.config.migration import check_recipe_keys, migrate
from alexnet_pl.config.sections import SECTIONS, VALUES
from alexnet_pl.errors import UserError, reason
from alexnet_pl.files import CACHE, DEFAULT_CACHE

KNOWN = (*VALUES, *SECTIONS)  # top-level keys of a run's config
MAX_BYTES = 2**20  # a composed config has about 5 kB
MAX_ALIASES = 16  # in a user's recipe; nested, each can double the size
RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:")  # ${oc.env:HOME} would copy the environment into a run's logs
WRITES = (("bench", "output"), ("report", "output"), ("prepare", "repair"))
FORBIDDEN = ("job_logging", "hydra_logging", "callbacks")  # nodes of Hydra that write files or call code


def isolated_config(folder: Path, name: str = ".hydra/config.yaml") -> Path:
    """Path of a copy of the run folder's config with only the package's own keys, in a private folder.

    The path depends only on the content, so the other processes of a run find it, on a cluster with a shared home too.
    Raises UserError if the folder holds links that lead out of it, through which a command would write.
    """
    check_links(folder)
    text = yaml.safe_dump(read_own_keys(folder / name), sort_keys=False, allow_unicode=True)
    copy = f"configs/{hashlib.sha256(text.encode()).hexdigest()[:16]}/config.yaml"
    path = Path(os.environ.get(CACHE, DEFAULT_CACHE)).expanduser() / copy
    try:
        return write_copy(path, text)
    except OSError:  # a home that cannot be written
        return write_copy(Path(tempfile.mkdtemp(prefix="alexnet_pl-")) / "config.yaml", text)


def write_copy(path: Path, text: str) -> Path:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(f".{os.getpid()}.tmp")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    return path


def read_own_keys(path: Path) -> dict[str, Any]:
    """The known sections of a run's config; others are dropped, and named on stderr."""
    config = migrate(read_yaml(path))
    if dropped := [str(key) for key in config if key not in KNOWN]:
        print(f"alexnet_pl: {path}: ignored unknown keys: {', '.join(dropped)}", file=sys.stderr)
    own = {key: value for key, value in config.items() if key in KNOWN}
    for name in SECTIONS:
        if not isinstance(own.get(name, {}), dict):
            raise UserError(f"{path}: {name}: expected a section of keys, not {str(own[name])[:40]}")
    drop_writes(own, path)
    for key, value in walk_nodes(own):
        if key.split(".")[-1] in ("_target_", "()"):
            raise UserError(f"{path}: {key}: a run's config must not name code to call")
        if isinstance(value, str) and (found := RESOLVER.search(value)):
            raise UserError(f"{path}: {key}: ${{{found[1]}:…}} is not allowed in a run's config")
    return own


def drop_writes(config: dict[str, Any], path: Path) -> None:
    """Reset the keys with which a command would write or repair files outside of the run, and name them on stderr."""
    for section, key in WRITES:
        node = config.get(section)
        if isinstance(node, dict) and node.get(key):
            print(
                f"alexnet_pl: {path}: ignored, because it writes outside of the run: {section}.{key}={node[key]}",
                file=sys.stderr,
            )
            node[key] = False if isinstance(node[key], bool) else None


def read_yaml(path: Path, aliases: int = 0) -> dict[Any, Any]:
    """Read a YAML mapping. `aliases`: the most it may hold, since aliases let a small file expand without bound."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes, which no config is")
        text = path.read_text(encoding="utf-8")
        if sum(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)) > aliases:
            raise UserError(f"{path}: more than {aliases} YAML aliases (*name)")
        config = yaml.load(text, UniqueKeyLoader)
        json.dumps(config, default=str)  # raises for a structure that contains itself
    except (OSError, ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({yaml_reason(error)})") from error
    if not isinstance(config, dict):
        raise UserError(f"{path}: not a mapping of keys to values")
    return config


def yaml_reason(error: Exception) -> str:
    """First line of the message, with the line of the file where PyYAML names one."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {error.problem}" if mark else reason(error)  # type: ignore[attr-defined]


class UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses duplicate keys instead of taking the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.YAMLError(f"duplicate key {twice}")
        return super().construct_mapping(node, deep)


def walk_nodes(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every node below `node`."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield f"{prefix}{key}", value
        yield from walk_nodes(value, f"{prefix}{key}.")


def check_links(folder: Path) -> None:
    """Raise UserError for a link that leads out of the run folder, through which a command would write, and for special
    files such as pipes, on which it would block."""
    root = folder.resolve()
    wandb = folder / "wandb"  # W&B links to its own logs there, and this package writes nothing there
    for path in folder.rglob("*"):
        if wandb in path.parents:
            continue
        if path.is_symlink():
            if not path.resolve().is_relative_to(root):
                raise UserError(f"{path}: links to {path.resolve()}, outside of the run folder; replace it by a copy")
        elif not (path.is_file() or path.is_dir()):
            raise UserError(f"{path}: not a regular file or folder; remove it")


def check_recipe(path: Path) -> None:
    """Refuse settings in a user's recipe that make Hydra write files or call code by itself.

    Follows `defaults` in the same folder. Launchers are the user's choice and are allowed.
    """
    for name in FORBIDDEN:
        if (path.parent / "hydra" / name).exists():
            raise UserError(f"{path.parent / 'hydra' / name}: recipes must not bring their own hydra/{name}")
    check_included(path, ())


def check_included(path: Path, above: tuple[Path, ...]) -> None:
    """`above`: the recipes whose defaults lead to this one."""
    if path in above:
        raise UserError(f"{above[-1]}: its defaults lead back to {path.name}: endless recursion")
    config = read_yaml(path, MAX_ALIASES)
    check_hydra_node(path, config)
    for other in included_recipes(path.parent, config.get("defaults")):
        check_included(other, (*above, path))


def check_hydra_node(path: Path, config: dict[Any, Any]) -> None:
    check_recipe_keys(config, str(path))
    hydra = config.get("hydra")
    if path.read_text(encoding="utf-8").lstrip().startswith("# @package hydra"):
        raise UserError(f"{path}: a recipe must not use `@package hydra`")
    for key, _ in walk_nodes(hydra if isinstance(hydra, dict) else {}):
        parts = key.split(".")
        if parts[0] in FORBIDDEN or key == "job.env_set" or parts[-1] == "()":
            raise UserError(f"{path}: hydra.{key}: not allowed in a recipe")
    for key, _ in walk_nodes({key: value for key, value in config.items() if key != "hydra"}):
        if key.split(".")[-1] in ("_target_", "()"):
            raise UserError(f"{path}: {key}: a recipe must not name code to call")


def included_recipes(folder: Path, defaults: Any) -> Iterator[Path]:
    """Files in the recipe's folder that its `defaults` name: `other`, `group: option`, `override group: option`."""
    for entry in defaults if isinstance(defaults, list) else ():
        for group, option in entry.items() if isinstance(entry, dict) else [("", entry)]:
            group = str(group).split(" ")[-1].split("@")[0].strip("/")
            for name in option if isinstance(option, list) else [option]:
                path = folder / group / f"{str(name).split('@')[0].strip('/').removesuffix('.yaml')}.yaml"
                if path.is_file():
                    yield path


def check_overrides(words: Any, where: str) -> None:
    """Raise UserError for overrides within a config that set keys of Hydra: they become words of a command line."""
    if words is not None and not isinstance(words, list | ListConfig):
        raise UserError(f"{where}={words}: a list of words key=value")
    for word in words or ():
        key = str(word).lstrip("+~")
        if str(word).startswith("-") or "=" not in str(word) or re.split(r"[./=@:]", key)[0] == "hydra":
            raise UserError(f"{where}: {word}: expected key=value with a key of the recipe")
