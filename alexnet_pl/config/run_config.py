"""The config in a run folder (`.hydra/config.yaml`), read as data.

Run folders are shared, so nothing in them may configure Hydra, which can run code (`_target_`), write files
(`hydra.job_logging`) and set environment variables (`hydra.job.env_set`). Hydra composes a copy that holds only the
package's own keys.
"""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import ListConfig

from alexnet_pl.cache import open_cache
from alexnet_pl.config.migration import check_recipe_keys, migrate
from alexnet_pl.config.sections import SECTIONS, VALUES
from alexnet_pl.config.yaml_file import read_yaml
from alexnet_pl.console import print_warning
from alexnet_pl.errors import UserError
from alexnet_pl.temporary_files import replacing

RUN_CONFIG = ".hydra/config.yaml"  # in a run folder
KNOWN = (*VALUES, *SECTIONS)  # top-level keys of a run's config
ISOLATED = re.compile(r"[0-9a-f]{16}|alexnet_pl-.*")  # folder of a copy that `isolated_config` writes
MAX_ALIASES = 16  # maximum in a user's recipe; nested, each can double the size
KEY = re.compile(r"\$\{[^${}:]*\}")  # interpolation of another key, without a nested one
MAX_NESTED_KEYS = 4  # maximum depth of nested interpolations; the recipes have one
WRITES = (("bench", "output"), ("report", "output"), ("prepare", "repair"))
NESTED_KEY = re.compile(r"variant|\w+(\.\w+)+")  # overrides within a config set single keys, no sections
NOT_NESTED = ("hydra", "prepare", "predict", "bench", "report")


def isolated_config(folder: Path, name: str = RUN_CONFIG) -> Path:
    """Write a copy of the run folder's config with only the package's own keys to a private folder; returns its path.

    The path depends only on the content, so the other processes of a run find it, also on a cluster with a shared home.
    Raises UserError if the folder holds links that lead out of it, through which a command would write.
    """
    check_links(folder)
    text = yaml.safe_dump(read_own_keys(folder / name), sort_keys=False, allow_unicode=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        return write_private(open_cache() / "configs", name, text)
    except OSError:  # home folder not writable, or a cache of another user
        return write_temporary(name, text)


def is_isolated(path: Path) -> bool:
    """Whether a file that Hydra composed is a copy of a run folder's config, not a recipe."""
    return path.name == Path(RUN_CONFIG).name and bool(ISOLATED.fullmatch(path.parent.name))


def composed_files(hydra: Any) -> list[Path]:
    """Files that the command line named (`-c`) of a job; `hydra`: its node of that name."""
    folders = [source["path"] for source in hydra["runtime"]["config_sources"] if source["provider"] == "main"]
    return [Path(folder) / f"{hydra['job']['config_name']}.yaml" for folder in folders]


def write_temporary(name: str, text: str) -> Path:
    """Write a copy to this user's folder in the temporary one, or to a new folder if another user has its name."""
    try:
        return write_private(Path(tempfile.gettempdir()) / f"alexnet_pl-{os.getuid()}", name, text)
    except OSError:
        return write_copy(Path(tempfile.mkdtemp(prefix="alexnet_pl-")) / "config.yaml", text)


def write_private(folder: Path, name: str, text: str) -> Path:
    make_private(folder)
    make_private(folder / name)
    return write_copy(folder / name / "config.yaml", text)


def make_private(folder: Path) -> None:
    """Create a folder that only this user may write: Hydra would read settings that others put there. Raises OSError if
    it is a link or another user's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = folder.lstat()  # once: in the temporary folder, others could replace what is not this user's
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not this user's")
    folder.chmod(0o700)


def write_copy(path: Path, text: str) -> Path:
    if others := [one.name for one in path.parent.iterdir() if not one.name.startswith(path.name)]:
        raise UserError(f"{path.parent}: holds {others[0]}, which alexnet_pl did not write; remove the folder")
    if path.is_symlink() or not path.is_file() or path.read_text(encoding="utf-8") != text:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


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
        if key.split(".")[-1] in ("_target_", "()"):
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


def walk_nodes(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every node below `node`."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield f"{prefix}{key}", value
        yield from walk_nodes(value, f"{prefix}{key}.")


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
        raise UserError(f"{above[-1]}: its defaults lead back to {path.name}: endless recursion")
    config = read_yaml(path, MAX_ALIASES)
    check_recipe_keys(config, str(path))
    for key, _ in walk_nodes(config):
        if key.split(".")[-1] in ("_target_", "()"):
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


def check_nested_overrides(words: Any, where: str) -> None:
    """Raise UserError if overrides within a config set more than single keys of a network and its training, since they
    become words of a command line."""
    if words is not None and not isinstance(words, list | ListConfig):
        raise UserError(f"{where}={words}: a list of words key=value")
    for word in map(str, words or ()):
        key, _, value = word.lstrip("+~").partition("=")
        section = key.partition(".")[0]
        if not NESTED_KEY.fullmatch(key) or "=" not in word or section in NOT_NESTED:
            raise UserError(f"{where}: {word}: expected key=value with a key of the network or its training")
        if "${" in value:  # made by interpolations within the config: it would be resolved with the command line
            raise UserError(f"{where}: {word}: ${{…}} is not allowed in its value")
        if key in ("variant", "transfer.pretrain_recipe") and not re.fullmatch(r"\w+", value):
            raise UserError(f"{where}: {word}: only a name that is shipped")
