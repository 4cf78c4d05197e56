"""Table of damages to one file of a run folder: its fields, rows, arrays and bytes."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml
from damages import (
    BYTES,
    REMOVED,
    VALUES,
    Change,
    Keys,
    array_damages,
    describe,
    key_paths,
    read_json,
    save_array,
    value_at,
    with_value,
    write_json,
)

DEPTH, ITEMS = 5, 2  # maximum depth of nested containers, and number of items per list
Damages = Iterator[tuple[str, Change]]
"""(what is done, how)."""


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def write_yaml(content: Any, path: Path) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True))


def read_torch(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def write_torch(content: Any, path: Path) -> None:
    torch.save(content, path)


FORMATS: dict[str, tuple[Callable[[Path], Any], Callable[[Any, Path], None]]] = {
    ".json": (read_json, write_json),
    ".yaml": (read_yaml, write_yaml),
    ".ckpt": (read_torch, write_torch),
}


def field_damages(path: Path) -> dict[Keys, list[tuple[str, Change]]]:
    """All damages of every field of a JSON, YAML or torch file."""
    if path.suffix not in FORMATS:
        return {}
    read, write = FORMATS[path.suffix]
    content = read(path)

    def change(keys: Keys, value: Any) -> Change:
        return lambda path: write(with_value(content, keys, value), path)

    return {
        keys: [(describe(keys, value), change(keys, value)) for value in wrong_values(value_at(content, keys))]
        for keys in key_paths(content, DEPTH, ITEMS)
    }


def wrong_values(before: Any) -> tuple[Any, ...]:
    """Wrong values to replace a value; for a tensor, also tensors of other shapes and types."""
    if not isinstance(before, torch.Tensor):
        return VALUES
    others = (before.reshape(-1)[:1], torch.zeros(2, 2), before.double(), before[..., None])
    return (REMOVED, None, "x", {}, *others, torch.full_like(before.float(), math.nan))


def edit_csv(change: Callable[[list[str]], list[str]]) -> Change:
    return lambda path: path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def edit_parquet(facts: Any) -> Change:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"alexnet_pl": json.dumps(facts)}), path)

    return change


COLUMNS: dict[str, Change] = {
    "without its header": edit_csv(lambda lines: lines[1:]),
    "header alone": edit_csv(lambda lines: lines[:1]),
    "without its step": edit_csv(lambda lines: [line.rpartition(",")[0] for line in lines]),
    "words for numbers": edit_csv(lambda lines: lines[:1] + [line.replace("1", "one") for line in lines[1:]]),
    "nan for numbers": edit_csv(lambda lines: lines[:1] + [line.replace("0.", "nan") for line in lines[1:]]),
    "rows too long": edit_csv(lambda lines: lines[:1] + [f"{line},7,7" for line in lines[1:]]),
    "rows twice": edit_csv(lambda lines: lines + lines[1:]),
    "steps that fall": edit_csv(lambda lines: lines[:1] + lines[:0:-1]),
}
FOOTERS = {f"footer {facts!r}": edit_parquet(facts) for facts in (None, {}, [], {"checkpoint": 3})}


def array_changes(path: Path) -> Damages:
    for what, other in array_damages(np.load(path)).items():
        yield what, lambda path, other=other: save_array(path, other)


def file_damages(path: Path) -> Damages:
    """Damages of the whole file, and of the parts of a table or array of its type."""
    yield from BYTES.items()
    yield from {".csv": COLUMNS, ".parquet": FOOTERS}.get(path.suffix, {}).items()
    if path.suffix == ".npy":
        yield from array_changes(path)
