"""Table of damages to a prepared store: every field of store.json, every other file, in every way that a disk or a
person damages them.

Each is done to a store that is whole. `reads`: whether opening the store and reading all of it must name the damaged
file; bits of an image are only found by `verify`, which must name the file in every case.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WRONG: tuple[Any, ...] = (None, "x", -1, 0, 1.5, float("nan"), float("inf"), True, [], {}, [[]], 10**30)
REMOVED = object()


class Damage(NamedTuple):
    """`apply` damages the store at a path. `file`: the one that must be named; `repairable`: from the source."""

    name: str
    file: str
    apply: Callable[[Path], object]
    reads: bool = True
    repairable: bool = True


def damages(root: Path) -> Iterator[Damage]:
    """All of the table, for the store at `root`."""
    about = json.loads((root / "store.json").read_text())
    for path in fields(about):
        if path != ("files",):  # a description without it is of an older store
            yield from field_damages(about, path)
    yield from file_damages("store.json", reads_content=False, repairable=False)
    for each in sorted(root.iterdir()):
        if each.name != "store.json":
            shard = each.suffix in (".u8", ".tar")
            yield from file_damages(each.name, reads_content=not shard)
            if each.suffix == ".npy":
                yield from array_damages(each.name, np.load(each))


def fields(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all that JSON holds, containers included."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from fields(inner, (*path, key))


def field_damages(about: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[Damage]:
    before = about
    for key in path:
        before = before[key]  # type: ignore[index]
    for wrong in (REMOVED, *WRONG):
        if wrong is REMOVED or json.dumps(wrong) != json.dumps(before):
            name = f"store.json {'.'.join(map(str, path))} {'removed' if wrong is REMOVED else f'= {wrong!r}'}"
            yield Damage(name, "store.json", edit(path, wrong), path[0] != "files", repairable=False)


def edit(path: tuple[str | int, ...], value: Any) -> Callable[[Path], object]:
    def apply(root: Path) -> None:
        about = json.loads((root / "store.json").read_text())
        holder = about
        for key in path[:-1]:
            holder = holder[key]
        if value is REMOVED:
            del holder[path[-1]]
        else:
            holder[path[-1]] = value
        (root / "store.json").write_text(json.dumps(about))

    return apply


def file_damages(name: str, reads_content: bool = True, repairable: bool = True) -> Iterator[Damage]:
    """What happens to any file."""
    ways: dict[str, tuple[Callable[[Path], object], bool]] = {
        "missing": (Path.unlink, True),
        "empty": (lambda path: path.write_bytes(b""), True),
        "cut in half": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), True),
        "without its last byte": (lambda path: path.write_bytes(path.read_bytes()[:-1]), True),
        "with a byte more": (lambda path: path.write_bytes(path.read_bytes() + b"\0"), True),
        "of another kind": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64)), True),
        "a folder": (make_folder, True),
        "zeros": (lambda path: path.write_bytes(bytes(path.stat().st_size)), reads_content),
        **{f"a bit flipped at {share:.0%}": (flip(share), reads_content) for share in (0, 0.3, 0.6, 0.999)},
    }
    if name == "store.json":
        del ways["without its last byte"]  # the end of the last line
    for way, (apply, reads) in ways.items():
        yield Damage(f"{name} {way}", name, lambda root, apply=apply: apply(root / name), reads, repairable)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def flip(share: float) -> Callable[[Path], object]:
    def apply(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(share * len(data))] ^= 1
        path.write_bytes(data)

    return apply


def array_damages(name: str, array: np.ndarray) -> Iterator[Damage]:
    """Arrays that NumPy loads without complaint and that are others than those that were written."""
    others = {
        "of another type": array.astype(np.complex64),
        "of text": array.astype(str),
        "of objects": np.array([{}], object),
        "of another shape": array.reshape(-1)[:-1],
        "with a dimension more": array[None],
        "of no elements": array[:0],
        "with its first two elements swapped": swapped(array),
        "of large numbers": np.full_like(array, 2**30),
    }
    if array.dtype.kind == "f":
        others |= {"of NaN": np.full_like(array, np.nan), "of infinity": np.full_like(array, np.inf)}
    for way, other in others.items():
        yield Damage(f"{name} {way}", name, lambda root, other=other: save(root / name, other))


def swapped(array: np.ndarray) -> np.ndarray:
    flat = array.copy().reshape(-1)
    different = int(np.flatnonzero(flat != flat[0])[0])
    flat[[0, different]] = flat[[different, 0]]
    return flat.reshape(array.shape)


def save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


def restore(whole: Path, root: Path) -> None:
    """Make `root` the store that `whole` is."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
