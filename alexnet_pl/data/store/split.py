"""Split of a store: its images, labels and names."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.store import jpeg
from alexnet_pl.data.store.encoding import parse_encoding
from alexnet_pl.data.store.manifest import StoreManifest
from alexnet_pl.data.store.name_file import NameFile
from alexnet_pl.errors import UserError

EMPTY = -2  # label of a record without an image


class Split:
    """Images of a split, in the order of the store, without unreadable ones. A map-style dataset of (image, label), so
    that `DataLoader(store.split("val"), batch_size=32)` gives (32, 3, size, size) uint8 images and (32,) class indices.

    `labels`: (N,) int64 class index of each image, −1 if unknown.
    `records`: number of images including unreadable ones; `slots`: record number of each image.
    `constant`: whether an image is the same in every epoch, so that a device may cache it.
    """

    constant = True

    def __init__(self, root: Path, name: str, manifest: StoreManifest) -> None:
        encoding, size = parse_encoding(manifest.encoding), manifest.size
        labels = load_array(root / f"{name}.labels.npy")
        records, shard = manifest.splits[name].records, manifest.shard
        if len(labels) != records:
            raise corrupt_error(root / f"{name}.labels.npy", ValueError(f"{len(labels):,} labels, not {records:,}"))
        index = load_array(root / f"{name}.index.npy") if encoding.is_jpeg else None
        counts = [min(shard, records - start) for start in range(0, records, shard)]
        self.reader = encoding.reader(root, name, counts, size, index)
        self.shape = (3, size, size)
        self.channels_last = self.reader.channels_last
        self.slots = np.flatnonzero(labels != EMPTY)
        self.labels = labels[self.slots].astype(np.int64)
        self.root, self.name, self.manifest, self.records = root, name, manifest, records
        self.on_device: tuple[Tensor, Tensor] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the files again in a worker process of a DataLoader."""
        return type(self), (self.root, self.name, self.manifest)

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image, (3, size, size) uint8, and label."""
        label = int(self.labels[index])  # raises IndexError, which ends a loop
        return self.images(np.array([index]))[0], label

    @property
    def labeled(self) -> bool:
        """Whether the labels of all images are known."""
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

    def images(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Read images into new memory: (N, 3, size, size) uint8. `indices` may be a mask, as in `labels == 3`."""
        numbers = np.asarray(indices) if len(indices) else np.arange(0)  # NumPy takes an empty list for floats
        if numbers.dtype == bool:
            numbers = np.arange(len(self))[numbers]
        images = self.buffer(len(numbers))
        self.read(numbers, images.numpy())
        return images

    def prefetch(self, indices: np.ndarray) -> None:
        """Ask the kernel to read images ahead, without waiting."""
        self.reader.prefetch(self.slots[indices])

    @cached_property
    def names(self) -> list[str]:
        """Source file of each image, 100 bytes of memory each."""
        return self.names_of(np.arange(len(self)))

    def names_of(self, indices: Iterable[int]) -> list[str]:
        """Source files of some images, without keeping those of all in memory."""
        try:
            return [self.name_file[self.slots[index]] for index in indices]
        except (OSError, ValueError, IndexError) as error:
            raise corrupt_error(self.root / f"{self.name}.names.jsonl", error) from error

    @cached_property
    def name_file(self) -> NameFile:
        return NameFile(self.root / f"{self.name}.names.jsonl")


def load_array(path: Path) -> np.ndarray:
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError, MemoryError) as error:  # the last for a header of a huge array
        raise corrupt_error(path, error) from error


def corrupt_error(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: missing or corrupt ({error}); prepare the store again, or copy it again completely")
