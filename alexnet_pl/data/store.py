"""The prepared store: §2's fixed 256 × 256 images once and for all, their labels, mean image and colour covariance.

    store.json         format, name, fingerprint, classes (id, name) sorted by id and their ILSVRC ids where they have
                       such, size, splits, how the images were made; written last
    train.u8           records of 3 · size · size bytes: one image as RGB planes, nothing between them
    train.labels.npy   (records,) int32 class index; −1 no label known; −2 no image in this record
    train.names.jsonl  a JSON string per record: the file it came from
    mean.npy           (3, size, size) float64, grey levels 0 … 255, over the training split
    covariance.npy     (3, 3) float64, of RGB over all pixels of the training split
    odd.json           images that could not be read or were not plain RGB, and what was done with each

A folder with these is whole or it is not there: it is made under another name and renamed when all is on the disk.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.errors import UserError

FORMAT = 1
EMPTY = -2


class Store:
    """Read-only view of a prepared store. Raises UserError if `root` holds none or one of another format."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.about: dict[str, Any] = read_about(self.root)
        self.name: str = self.about["name"]
        self.size: int = self.about["size"]
        self.classes: list[list[str]] = self.about["classes"]
        self.fingerprint: str = self.about["fingerprint"]
        self.opened: dict[str, Split] = {}

    @property
    def splits(self) -> list[str]:
        return list(self.about["splits"])

    def split(self, name: str) -> "Split":
        """The same object every time, so that what it keeps on a device is kept once."""
        if name not in self.about["splits"]:
            raise UserError(f"{self.root}: has no split {name!r}, only {', '.join(self.splits)}; prepare it again")
        if name not in self.opened:
            self.opened[name] = Split(self, name)
        return self.opened[name]

    @cached_property
    def mean(self) -> np.ndarray:
        return load(self.root / "mean.npy")

    @cached_property
    def covariance(self) -> np.ndarray:
        return load(self.root / "covariance.npy")


class Split:
    """The images of one split, in the store's order; those that could not be read are not among them."""

    def __init__(self, store: Store, name: str) -> None:
        labels = load(store.root / f"{name}.labels.npy")
        path = store.root / f"{name}.u8"
        shape = (len(labels), 3, store.size, store.size)
        if size_of(path) != np.prod(shape, dtype=np.int64):
            raise UserError(f"{path}: {size_of(path):,} bytes, not those of {len(labels):,} images; prepare it again")
        self.records = np.memmap(path, np.uint8, "r", shape=shape)
        self.slots = np.flatnonzero(labels != EMPTY)
        self.labels = labels[self.slots].astype(np.int64)
        self.root, self.name = store.root, name

        self.kept: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def labelled(self) -> bool:
        return bool((self.labels >= 0).all())

    @property
    def bytes(self) -> int:
        return len(self) * int(np.prod(self.records.shape[1:]))

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """All images and labels in the memory of `device`, copied there once."""
        if self.kept is None:
            images = torch.empty((len(self), *self.records.shape[1:]), dtype=torch.uint8, device=device)
            for start in range(0, len(self), 1024):
                some = self.slots[start : start + 1024]
                images[start : start + len(some)] = torch.from_numpy(self.records[some])
            self.kept = images, torch.from_numpy(self.labels).to(device)
        return self.kept

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy images `indices` to `out`, (len(indices), 3, size, size) uint8."""
        np.take(self.records, self.slots[indices], axis=0, out=out, mode="clip")  # "raise" would buffer `out`

    @cached_property
    def names(self) -> list[str]:
        path = self.root / f"{self.name}.names.jsonl"
        try:
            names = [json.loads(line) for line in path.read_text().splitlines()]
            return [names[slot] for slot in self.slots]
        except (OSError, ValueError, IndexError) as error:
            raise damaged(path, error) from error


def load(path: Path) -> np.ndarray:
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: missing or damaged ({error}); prepare the store again or copy it whole")


def size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def read_about(root: Path) -> dict[str, Any]:
    path = root / "store.json"
    if not path.is_file():
        state = "is not there" if not root.exists() else "holds no prepared store (no store.json)"
        raise UserError(f"data.root: {root} {state}; make one: python -m alexnet_pl prepare -c RECIPE data.root={root}")
    try:
        about = json.loads(path.read_text())
        found = about["format"]
        if found == FORMAT and (missing := {"name", "size", "classes", "splits", "fingerprint", "block"} - set(about)):
            raise ValueError(f"without {', '.join(sorted(missing))}")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a store's description ({error}); prepare it again") from error
    if found != FORMAT:
        raise UserError(f"{path}: format {found}, this version reads {FORMAT}; prepare it again")
    return about
