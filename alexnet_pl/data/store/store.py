"""Prepared store: images of one size (§2), labels, mean image and colour covariance.

    store.json         manifest: format, name, fingerprint, classes (id, name) sorted by id, ILSVRC ids if any, size,
                       splits, and how the images were prepared; written last
    train-000000.u8 …  raw shards of images; or JPEG shards, train-000000.tar … (see raw.py and jpeg.py)
    train.labels.npy   (records,) int32 class index; −1: label unknown; −2: no image in this record
    train.names.jsonl  one JSON string per record: the name of the source file
    train.index.npy    JPEG only: offset of each image in its shard, and its size in bytes
    mean.npy           (3, size, size) float64 mean of the training split, grey levels 0 … 255
    covariance.npy     (3, 3) float64 covariance of RGB over all pixels of the training split
    odd.json           images that could not be read or were not RGB JPEGs, and what was done with each

A store is always complete: it is built in another folder, which is renamed when everything is on disk.
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
    """Split in store.json: readable `images` among `records`; `blake3`, a checksum per shard, None in old stores."""

    images: Count
    records: Count
    bytes: Count
    blake3: list[str | None]


@dataclass
class StoreManifest(StoreFormat):
    """Content of store.json. `size`: side in pixels; `shard`: images per file; `classes`: [id, name] sorted by id."""

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
    """Prepared store, read-only. `root`: a folder or a URL. Raises UserError if it holds no store of this format."""

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
        """Open a split, once, so that images cached on a device are cached once. Raises UserError if there is none."""
        if name not in self.manifest["splits"]:
            raise UserError(f"{self.root}: has no split {name!r}, only {', '.join(self.splits)}; prepare it again")
        if name not in self.opened:
            self.fetch(name)
            self.opened[name] = Split(self, name)
        return self.opened[name]

    def fetch(self, name: str) -> None:
        """Download the files of a split of a remote store, unless cached."""
        if self.mirror is None:
            return
        split_info = self.manifest["splits"][name]
        shards = {
            shard_name(name, number, self.encoding): checksum for number, checksum in enumerate(split_info["blake3"])
        }
        self.mirror.check_free_space(split_info, shards)
        self.mirror.fetch(shards, shards, label=name)

    def fetch_again(self, name: str, number: int) -> bool:
        """Download a corrupt shard of a remote store again; False for a local store."""
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
    """Images of a split, in the order of the store, without unreadable ones."""

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
        """Allocate (count, 3, size, size) uint8 in the memory format that `read` fills fastest."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        shape = (count, *self.shape)
        return torch.empty(shape, dtype=torch.uint8, device=device, pin_memory=pinned, memory_format=layout).zero_()

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Read images into `out`, (len(indices), 3, size, size) uint8 in the memory format of `buffer`."""
        self.reader.read(self.slots[indices], out)

    @property
    def is_jpeg(self) -> bool:
        """Whether images are JPEGs, which `decode_on` needs."""
        return isinstance(self.reader, jpeg.JpegReader)

    def decode_on(self, indices: np.ndarray, device: torch.device) -> Tensor:
        """Decode JPEGs on `device`: (N, 3, size, size) uint8. Raises UserError naming a corrupt image."""
        assert isinstance(self.reader, jpeg.JpegReader)
        try:
            return self.reader.decode_on(self.slots[indices], device)
        except RuntimeError:
            self.images(indices)  # raises a UserError that names the corrupt image
            raise

    def images(self, indices: np.ndarray) -> Tensor:
        """Read images into new memory: (N, 3, size, size) uint8."""
        images = self.buffer(len(indices))
        self.read(np.asarray(indices), images.numpy())
        return images

    def prefetch(self, indices: np.ndarray) -> None:
        """Ask the kernel to read images ahead, without waiting."""
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
    return UserError(f"{path}: missing or corrupt ({error}); prepare the store again, or copy it again completely")


def read_manifest(root: Path) -> dict[str, Any]:
    path = root / "store.json"
    if not path.is_file():
        state = "does not exist" if not root.exists() else "holds no prepared store (no store.json)"
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
        raise UserError(f"{path}: corrupt or not written by this package ({error}); prepare it again") from error
    return manifest
