"""Keys of nested configs, as paths or joined by dots."""

from collections.abc import Iterator
from typing import Any


def leaves(config: dict[Any, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(path, value) of every leaf; an empty mapping is a leaf."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def dotted_leaves(config: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf."""
    return ((".".join(map(str, path)), value) for path, value in leaves(config))


def walk_nodes(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every node below `node`."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield f"{prefix}{key}", value
        yield from walk_nodes(value, f"{prefix}{key}.")


def set_path(config: dict[Any, Any], path: tuple[Any, ...], value: Any) -> None:
    for depth, name in enumerate(path[:-1], 1):
        config = config.setdefault(name, {})
        if not isinstance(config, dict):
            raise ValueError(f"{'.'.join(map(str, path[:depth]))}: expected a section of keys, not {str(config)[:40]}")
    config[path[-1]] = value


def names_code(key: str) -> bool:
    """Whether a key names code to call, for Hydra (`_target_`) or the configuration of `logging` (`()`)."""
    return key.split(".")[-1] in ("_target_", "()")
