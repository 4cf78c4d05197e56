"""YAML files of bounded size and depth, without duplicate keys."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from alexnet_pl.errors import UserError, reason

MAX_BYTES = 2**20  # a composed config has about 5 kB
OPENING = (
    yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken, yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken,
)  # fmt: skip
CLOSING = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
MAX_DEPTH = 50  # maximum depth of a config, usually about five


def read_yaml(path: Path, aliases: int = 0) -> dict[Any, Any]:
    """Read a YAML mapping. Raises UserError, naming the file, for other content. `aliases`: see `load_yaml`."""
    config = load_yaml(path, aliases)
    if not isinstance(config, dict):
        raise UserError(f"{path}: not a mapping of keys to values")
    return config


def load_yaml(path: Path, aliases: int = 0) -> Any:
    """Read a YAML file of bounded size. Raises UserError, naming the file. `aliases`: maximum number of aliases, since
    they can expand a small file without bound."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes, so it is not a config")
        text = path.read_text(encoding="utf-8")
        check_tokens(text, aliases)
        config = yaml.load(text, UniqueKeyLoader)
        json.dumps(config, default=str)  # raises for a structure that contains itself
    except (OSError, ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({yaml_reason(error)})") from error
    return config


def check_tokens(text: str, aliases: int) -> None:
    """Raise ValueError for more than `aliases` aliases, or for nesting so deep that PyYAML would need minutes."""
    found = depth = 0
    for token in yaml.scan(text):
        found += isinstance(token, yaml.AliasToken)
        depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
        if found > aliases:
            raise ValueError(f"more than {aliases} YAML aliases (*name)")
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels of nesting")


def yaml_reason(error: Exception) -> str:
    """First line of the message, with the line number if PyYAML gives one."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {error.problem}" if mark else reason(error)  # type: ignore[attr-defined]


class UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader, except that it raises an error for duplicate keys instead of using the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError(f"duplicate key {Counter(keys).most_common(1)[0][0]}")
        return super().construct_mapping(node, deep)
