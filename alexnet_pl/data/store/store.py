"""The prepared store: fixed-size images (§2), labels, mean image and color covariance.

    store.json         format, name, fingerprint, classes (id, name) sorted by id and their ILSVRC ids where they have
                       such, size, splits, how the images were made; written last
    train-000000.u8 …  shards of the images, raw; or as JPEG, train-000000.tar … (raw.py and jpeg.py say how)
    train.labels.npy   (records,) int32 class index; −1 no label known; −2 no image in this record
    train.names.jsonl  a JSON string per record: the file it came from
    train.index.npy    of JPEGs: where in its shard each begins, and its bytes
    mean.npy           (3, size, size) float64, grey levels 0 … 255, over the training split
    covariance.npy     (3, 3) float64, of RGB over all pixels of the training split
    odd.json           images that could not be read or were not plain RGB, and what was done with each

A folder with these is whole or it is not there: it is made under another name and renamed when all is on the disk.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.store import jpeg
from alexnet_pl.data.store.encoding import StoreEncoding, shard_name
from alexnet_pl.data.store.remote import Mirror, is_remote
from alexnet_pl.errors import UserError
from alexnet_pl.files import Count, read_record

FORMAT = 2
EMPTY = -2


@dataclass
class StoreFormat:
    format: Count


@dataclass
class SplitManifest:
    """`images` can be read, of `records`; `blake3`: checksum of each shard, None in stores made without BLAKE3."""

    images: Count
    records: Count
    bytes: Count
    blake3: list[str | None]


@dataclass
class StoreManifest(StoreFormat):
    """store.json. `size`: pixels of a side; `shard`: images a file; `classes`: [id, name], sorted by id."""

    name: str
    size: Count
    classes: list[list[str]]
    splits: dict[str, SplitManifest]
    fingerprint: str
    encoding: dict[str, Any]
    shard: Count
    settings: dict[str, Any] | None = None
    unreadable: Count = 0
    odd: Count = 0


class Store:
    """Read-only view of a prepared store. Raises UserError if `root` holds none or one of another format."""

    def __init__(self, root: str | Path) -> None:
        self.mirror = Mirror(str(root)) if is_remote(root) else None
        self.root = self.mirror.root if self.mirror else Path(root)
        self.manifest: dict[str, Any] = read_manifest(self.root)
        self.name: str = self.manifest["name"]
        self.size: int = self.manifest["size"]
        self.classes: list[list[str]] = self.manifest["classes"]
        self.fingerprint: str = self.manifest["fingerprint"]
        self.encoding = StoreEncoding(**self.manifest["encoding"])
        if self.mirror:
            self.mirror.fetch_small(self.manifest)
        self.opened: dict[str, Split] = {}

    @property
    def splits(self) -> list[str]:
        return list(self.manifest["splits"])

    def split(self, name: str) -> "Split":
        """The same object every time, so that what it keeps on a device is kept once."""
        if name not in self.manifest["splits"]:
            raise UserError(f"{self.root}: has no split {name!r}, only {', '.join(self.splits)}; prepare it again")
        if name not in self.opened:
            self.fetch(name)
            self.opened[name] = Split(self, name)
        return self.opened[name]

    def fetch(self, name: str) -> None:
        """Fetch the files of a split from a remote store if they are not cached."""
        if self.mirror is None:
            return
        split_info = self.manifest["splits"][name]
        shards = {
            shard_name(name, number, self.encoding): checksum for number, checksum in enumerate(split_info["blake3"])
        }
        self.mirror.check_free_space(split_info, shards)
        self.mirror.fetch(shards, shards, label=name)

    def fetch_again(self, name: str, number: int) -> bool:
        """Fetch a corrupt shard again from a remote store; False for a local one."""
        if self.mirror is None:
            return False
        shard = shard_name(name, number, self.encoding)
        (self.root / shard).unlink(missing_ok=True)
        self.mirror.fetch([shard], {shard: self.manifest["splits"][name]["blake3"][number]})
        return True

    @cached_property
    def mean(self) -> np.ndarray:
        return load_array(self.root / "mean.npy")

    @cached_property
    def covariance(self) -> np.ndarray:
        return load_array(self.root / "covariance.npy")


class Split:
    """The images of one split, in the store's order; those that could not be read are not among them."""

    def __init__(self, store: Store, name: str) -> None:
        info, encoding = store.manifest["splits"][name], store.encoding
        labels = load_array(store.root / f"{name}.labels.npy")
        records, shard = info["records"], store.manifest["shard"]
        if len(labels) != records:
            raise corrupt_error(
                store.root / f"{name}.labels.npy", ValueError(f"{len(labels):,} labels, not {records:,}")
            )
        index = load_array(store.root / f"{name}.index.npy") if encoding.name == jpeg.NAME else None
        counts = [min(shard, records - start) for start in range(0, records, shard)]
        self.reader = encoding.reader(store.root, name, counts, store.size, index)
        self.shape = (3, store.size, store.size)
        self.channels_last = self.reader.channels_last
        self.slots = np.flatnonzero(labels != EMPTY)
        self.labels = labels[self.slots].astype(np.int64)
        self.root, self.name = store.root, name
        self.on_device: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def labelled(self) -> bool:
        return bool((self.labels >= 0).all())

    @property
    def bytes(self) -> int:
        return len(self) * int(np.prod(self.shape))

    def to_device(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """All images and labels in the memory of `device`, copied there once."""
        if self.on_device is None:
            images = self.buffer(len(self), device)
            block = self.buffer(min(1024, len(self)))
            for start in range(0, len(self), 1024):
                indices = np.arange(start, min(start + 1024, len(self)))
                self.read(indices, block[: len(indices)].numpy())
                images[start : start + len(indices)] = block[: len(indices)]
            self.on_device = images, torch.from_numpy(self.labels).to(device)
        return self.on_device

    def buffer(self, count: int, device: torch.device | None = None, pinned: bool = False) -> Tensor:
        """Room for `count` images, (count, 3, size, size) uint8, laid out in memory as `read` fills it soonest."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        shape = (count, *self.shape)
        return torch.empty(shape, dtype=torch.uint8, device=device, pin_memory=pinned, memory_format=layout).zero_()

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy images `indices` to `out`, (len(indices), 3, size, size) uint8, laid out as `buffer` is."""
        self.reader.read(self.slots[indices], out)

    @property
    def is_jpeg(self) -> bool:
        """Whether these are JPEGs, which `decoded` takes."""
        return isinstance(self.reader, jpeg.JpegReader)

    def decode_on(self, indices: np.ndarray, device: torch.device) -> Tensor:
        """JPEGs `indices`: (N, 3, size, size) uint8, decoded by the device and in its memory."""
        assert isinstance(self.reader, jpeg.JpegReader)
        try:
            return self.reader.decode_on(self.slots[indices], device)
        except RuntimeError:
            self.images(indices)  # which tells the image that is damaged
            raise

    def images(self, indices: np.ndarray) -> Tensor:
        """Images `indices`: (N, 3, size, size) uint8, in memory of their own."""
        images = self.buffer(len(indices))
        self.read(np.asarray(indices), images.numpy())
        return images

    def prefetch(self, indices: np.ndarray) -> None:
        """Images `indices` will be read soon: they are asked of the disk, without waiting."""
        self.reader.prefetch(self.slots[indices])

    @cached_property
    def names(self) -> list[str]:
        path = self.root / f"{self.name}.names.jsonl"
        try:
            names = [json.loads(line) for line in path.read_text().splitlines()]
            return [names[slot] for slot in self.slots]
        except (OSError, ValueError, IndexError) as error:
            raise corrupt_error(path, error) from error


def load_array(path: Path) -> np.ndarray:
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise corrupt_error(path, error) from error


def corrupt_error(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: missing or damaged ({error}); prepare the store again or copy it whole")


def read_manifest(root: Path) -> dict[str, Any]:
    path = root / "store.json"
    if not path.is_file():
        state = "is not there" if not root.exists() else "holds no prepared store (no store.json)"
        raise UserError(f"data.root: {root} {state}; make one: python -m alexnet_pl prepare -c RECIPE data.root={root}")
    number = read_record(path, StoreFormat, "prepare it again")["format"]
    if number != FORMAT:
        raise UserError(f"{path}: format {number}, this version reads {FORMAT}; prepare it again")
    manifest = read_record(path, StoreManifest, "prepare it again")
    try:
        StoreEncoding(**manifest["encoding"]).check()
        for name in manifest["splits"]:
            if not re.fullmatch(r"\w+", name):  # it becomes part of file names
                raise ValueError(f"splits.{name}: not a name of a split")
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged or not written by this package ({error}); prepare it again") from error
    return manifest
