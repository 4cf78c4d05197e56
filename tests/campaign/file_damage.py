"""Ways to damage a file of a run folder: fields missing or of other types, rows, arrays, bytes."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml

MISSING = object()
VALUES = (MISSING, None, "x", -1, 1.5, math.nan, [], {}, [[]], True, 10**30, "\u2028")
DEPTH = 5
Change = Callable[[Path], None]


def paths(content: Any, depth: int = DEPTH) -> Iterator[tuple[Any, ...]]:
    """Keys that lead to every value of nested dicts and lists; of long lists the first two."""
    pairs = (
        content.items() if isinstance(content, dict) else enumerate(content[:2]) if isinstance(content, list) else ()
    )
    for key, value in pairs:
        yield (key,)
        if depth > 1:
            yield from ((key, *rest) for rest in paths(value, depth - 1))


def put(content: Any, keys: tuple[Any, ...], value: Any) -> Any:
    node = content
    for key in keys[:-1]:
        node = node[key]
    if value is MISSING:
        del node[keys[-1]]
    else:
        node[keys[-1]] = value
    return content


def changing(
    read: Callable[[Path], Any], write: Callable[[Any, Path], None], keys: tuple[Any, ...], value: Any
) -> Change:
    return lambda path: write(put(read(path), keys, value), path)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def write_yaml(content: Any, path: Path) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True))


def read_torch(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def write_torch(content: Any, path: Path) -> None:
    torch.save(content, path)


def field_changes(path: Path) -> Iterator[tuple[str, Change]]:
    """(what is done, how) of every field of a JSON, YAML or torch file."""
    kinds = {".json": (read_json, write_json), ".yaml": (read_yaml, write_yaml), ".ckpt": (read_torch, write_torch)}
    if path.suffix not in kinds:
        return
    read, write = kinds[path.suffix]
    content = read(path)
    for keys in paths(content):
        for value in wrong_values(content, keys):
            shown = "missing" if value is MISSING else f"{value!r:.40}".splitlines()[0]
            yield f"{'.'.join(map(str, keys))} {shown}", changing(read, write, keys, value)


def wrong_values(content: Any, keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """Wrong values; in place of a tensor also tensors of other shapes and types."""
    for key in keys:
        content = content[key]
    if not isinstance(content, torch.Tensor):
        return VALUES
    flat = content.reshape(-1)
    more = (
        flat[:1],
        torch.zeros(2, 2),
        content.double(),
        content[..., None],
        torch.full_like(content.float(), math.nan),
    )
    return (MISSING, None, "x", {}, *more)


def cut(share: float) -> Change:
    def change(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return change


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)


def replace(content: bytes) -> Change:
    return lambda path: path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def reshape(shape: tuple[int, ...], dtype: type) -> Change:
    return lambda path: np.save(path, np.zeros(shape, dtype))


def edit_csv(change: Callable[[list[str]], list[str]]) -> Change:
    return lambda path: path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def edit_parquet(facts: Any) -> Change:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"alexnet_pl": json.dumps(facts)}), path)

    return change


FILES: tuple[tuple[str, Change], ...] = (
    ("cut to nothing", cut(0)),
    ("cut in half", cut(0.5)),
    ("cut at its end", cut(0.98)),
    ("gone", Path.unlink),
    ("a folder", make_folder),
    ("a byte flipped", flip),
    ("not text", replace(bytes(range(256)))),
    ("a list", replace(b"[1, 2]")),
    ("nested beyond reason", replace(b"[" * 100000)),
    ("one long number", replace(b"9" * 5000)),
)
COLUMNS: tuple[tuple[str, Change], ...] = (
    ("without its header", edit_csv(lambda lines: lines[1:])),
    ("header alone", edit_csv(lambda lines: lines[:1])),
    ("without its step", edit_csv(lambda lines: [line.rpartition(",")[0] for line in lines])),
    ("words for numbers", edit_csv(lambda lines: lines[:1] + [line.replace("1", "one") for line in lines[1:]])),
    ("nan for numbers", edit_csv(lambda lines: lines[:1] + [line.replace("0.", "nan") for line in lines[1:]])),
    ("rows too long", edit_csv(lambda lines: lines[:1] + [f"{line},7,7" for line in lines[1:]])),
    ("rows twice", edit_csv(lambda lines: lines + lines[1:])),
    ("steps that fall", edit_csv(lambda lines: lines[:1] + lines[:0:-1])),
)
ARRAYS: tuple[tuple[str, Change], ...] = (
    ("of other length", reshape((3,), np.int64)),
    ("of other type", reshape((40,), np.float64)),
    ("of no dimension", reshape((), np.int64)),
    ("of objects", lambda path: np.save(path, np.array([{}], object), allow_pickle=True)),
)
FOOTERS = tuple((f"footer {facts!r}", edit_parquet(facts)) for facts in (None, {}, [], {"checkpoint": 3}))


def all_changes(path: Path) -> Iterator[tuple[str, Change]]:
    """Of every field, and of the file as a whole."""
    yield from field_changes(path)
    yield from FILES
    yield from {".csv": COLUMNS, ".npy": ARRAYS, ".parquet": FOOTERS}.get(path.suffix, ())
