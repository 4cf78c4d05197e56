"""Table of damages to a prepared store: every field of store.json and every other file, corrupt in all ways that a
disk or a user may cause.

Each is applied to a complete store. `reads`: whether opening and reading the whole store must name the corrupt file;
flipped bits of an image are only found by `verify`, which must always name the file.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from damages import (
    BYTES,
    REMOVED,
    SAME_SIZE,
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
from omegaconf import OmegaConf
from photographs import draw

from alexnet_pl.commands import prepare
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import make_store, repair_store
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

STORE = "store.json"


class Damage(NamedTuple):
    """`apply` damages the store at a path. `file`: file that must be named; `repairable`: from the source."""

    name: str
    file: str
    apply: Callable[[Path], object]
    reads: bool = True
    repairable: bool = True


def damages(root: Path) -> Iterator[Damage]:
    """The whole table, for the store at `root`."""
    about = read_json(root / STORE)
    for keys in key_paths(about):
        yield from field_damages(about, keys)
    for path in sorted(root.iterdir()):
        whole = path.name not in (STORE,) and path.suffix not in (".u8", ".tar")
        yield from file_damages(path.name, reads_content=whole, repairable=path.name != STORE)
        if path.suffix == ".npy":
            yield from array_changes(path)


def field_damages(about: dict[str, Any], keys: Keys) -> Iterator[Damage]:
    before = json.dumps(value_at(about, keys))
    for value in VALUES:
        if value is REMOVED or json.dumps(value) != before:
            change = edit(about, keys, value)
            yield Damage(f"{STORE} {describe(keys, value)}", STORE, change, keys[0] != "files", repairable=False)


def edit(about: dict[str, Any], keys: Keys, value: Any) -> Callable[[Path], object]:
    return lambda root: write_json(with_value(about, keys, value), root / STORE)


def file_damages(name: str, reads_content: bool, repairable: bool) -> Iterator[Damage]:
    for what, change in BYTES.items():
        if name != STORE or what != "without its last byte":  # the newline at the end of the file
            reads = reads_content or what not in SAME_SIZE
            yield Damage(f"{name} {what}", name, applied(change, name), reads, repairable)


def applied(change: Change, name: str) -> Callable[[Path], object]:
    return lambda root: change(root / name)


def array_changes(path: Path) -> Iterator[Damage]:
    for what, other in array_damages(np.load(path)).items():
        yield Damage(f"{path.name} {what}", path.name, lambda root, other=other: save_array(root / path.name, other))


def restore(whole: Path, root: Path) -> None:
    """Make `root` equal to the store `whole`."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)


def make_small_store(folder: Path, encoding: str) -> PrepareOptions:
    """Create a store of 14 images, one of them unreadable, in shards of four."""
    for number in range(10):
        draw(folder / f"copy/train/{'ab'[number % 2]}/{number}.png", number)
    for number in range(4):
        draw(folder / f"copy/val/{'ab'[number % 2]}/{number}.png", 50 + number)
    (folder / "copy/train/a/8.png").write_bytes(b"no image")
    options = PrepareOptions(
        str(folder / "whole"), "x", 16, str(folder / "copy"), encoding=encoding, images_per_shard=4
    )
    make_store(options)
    return options


def read_all(root: Path) -> None:
    """Read a store as training and tests do."""
    store = Store(root)
    assert store.mean.shape == (3, store.size, store.size)
    assert store.covariance.shape == (3, 3)
    for name in ("train", "val"):
        split = store.split(name)
        assert len(split.names) == len(split)
        split.to_device(split.buffer(1).device)


def wrong_when_read(damage: Damage, options: PrepareOptions, root: Path) -> str:
    """What is wrong with reading the corrupt store; "" if nothing is."""
    restore(Path(options.root), root)
    damage.apply(root)
    try:
        read_all(root)
        told = "" if damage.reads else damage.file
    except UserError as error:
        told = str(error)
    except Exception as error:
        told = f"{error!r}"
    wrong = damage.file not in told or "\n" in told or "Error(" in told
    return (told or "read without a word") if wrong else ""


def wrong_when_verified(damage: Damage, options: PrepareOptions, root: Path) -> str:
    """What is wrong with the output of `verify`, or with the repaired store; "" if nothing is."""
    restore(Path(options.root), root)
    damage.apply(root)
    found = verify(root)
    if damage.file not in found:
        return f"verify says {found or 'nothing'}"
    return repair(options, root) if damage.repairable else ""


def verify(root: Path) -> str:
    """Last line printed by the command."""
    try:
        prepare.verify(OmegaConf.create({"data": {"root": str(root)}}), root)
    except UserError as error:
        return str(error)
    return ""


def repair(options: PrepareOptions, root: Path) -> str:
    """What is wrong after a repair; "" if the store equals the original."""
    try:
        repair_store(options, Store(root, check=False))
    except UserError as error:
        return f"not repaired: {error}"
    whole = Path(options.root)
    files = {path.name for path in whole.iterdir()}
    if files != {path.name for path in root.iterdir()}:
        return "repair left other files"
    odd = [name for name in files if (root / name).read_bytes() != (whole / name).read_bytes()]
    return f"{odd} differ after the repair" if odd else "".join(find_corrupt(Store(root)))
