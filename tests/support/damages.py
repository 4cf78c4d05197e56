"""Wrong values of fields and corrupt bytes of files, shared by tests of records, stores, run folders, checkpoints."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

REMOVED = object()
VALUES: tuple[Any, ...] = (
    REMOVED, None, "x", "\u2028", -1, 0, 1.5, 10**30, math.nan, math.inf, True, [], {}, [[]],
)  # fmt: skip
Keys = tuple[Any, ...]
Change = Callable[[Path], object]


def key_paths(content: Any, depth: int = 99, items: int | None = None) -> Iterator[Keys]:
    """Keys of every value in nested dicts and lists, including containers; only the first `items` of a list."""
    pairs = content.items() if isinstance(content, dict) else ()
    if isinstance(content, list):
        pairs = enumerate(content[:items])
    for key, value in pairs:
        yield (key,)
        if depth > 1:
            yield from ((key, *rest) for rest in key_paths(value, depth - 1, items))


def value_at(content: Any, keys: Keys) -> Any:
    for key in keys:
        content = content[key]
    return content


def with_value(content: Any, keys: Keys, value: Any) -> Any:
    """A copy with another value at `keys`, or without the field for REMOVED."""
    changed = content.copy()
    if len(keys) > 1:
        changed[keys[0]] = with_value(content[keys[0]], keys[1:], value)
    elif value is REMOVED:
        del changed[keys[0]]
    else:
        changed[keys[0]] = value
    return changed


def describe(keys: Keys, value: Any) -> str:
    shown = "removed" if value is REMOVED else f"= {value!r:.40}".splitlines()[0]
    return f"{'.'.join(map(str, keys))} {shown}"


def write(content: bytes) -> Change:
    return lambda path: path.write_bytes(content)


def keep(share: float) -> Change:
    """Keep only the first part of the file."""
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def flip(share: float) -> Change:
    """Flip one bit of the byte at that fraction of the file."""

    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(share * len(content))] ^= 1
        path.write_bytes(content)

    return change


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SAME_SIZE: dict[str, Change] = {
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    **{f"a bit flipped at {share:.0%}": flip(share) for share in (0, 0.3, 0.6, 0.999)},
}
"""Damages that a file's size does not show."""
BYTES: dict[str, Change] = {
    "gone": Path.unlink,
    "empty": write(b""),
    "cut in half": keep(0.5),
    "without its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "with a byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "of another kind": write(b"\x89PNG\r\n\x1a\n" + bytes(64)),
    "not text": write(bytes(range(256))),
    "a list": write(b"[1, 2]"),
    "nested beyond reason": write(b"[" * 100000),
    "one long number": write(b"9" * 5000),
    "a folder": make_folder,
    **SAME_SIZE,
}


def array_damages(array: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays that NumPy loads without an error but that differ from the one written."""
    others = {
        "of another type": array.astype(np.complex64),
        "of text": array.astype(str),
        "of objects": np.array([{}], object),
        "of no dimension": array.reshape(-1)[0],
        "of another shape": array.reshape(-1)[:-1],
        "with a dimension more": array[None],
        "of no elements": array[:0],
        "with two elements swapped": swapped(array),
        "of large numbers": np.full_like(array, 2**15 if array.dtype.itemsize == 2 else 2**30),
    }
    if array.dtype.kind == "f":
        others |= {"of NaN": np.full_like(array, np.nan), "of infinity": np.full_like(array, np.inf)}
    return others


def swapped(array: np.ndarray) -> np.ndarray:
    """Swap the first element with the first one that differs from it."""
    flat = np.array(array).reshape(-1)
    different = int(np.flatnonzero(flat != flat[0])[0])
    flat[[0, different]] = flat[[different, 0]]
    return flat.reshape(array.shape)


def save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content))


def claim_huge_array(path: Path) -> None:
    """Write a .npy file whose header claims 80 TB."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**13,)})
