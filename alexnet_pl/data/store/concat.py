"""Concatenation of splits of a store, for runs that also train on the validation images at the end."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.whole import WholeSplit


class ConcatSplit(Split):
    """Split that concatenates several splits."""

    def __init__(self, splits: list[Split]) -> None:
        self.splits = splits
        self.starts = np.cumsum([0, *map(len, splits)])
        self.labels = np.concatenate([split.labels for split in splits])
        self.shape, self.channels_last = splits[0].shape, splits[0].channels_last
        self.on_device, self.constant = None, all(split.constant for split in splits)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.splits,)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def names(self) -> list[str]:
        return [name for split in self.splits for name in split.names]

    def names_of(self, indices: Iterable[int]) -> list[str]:
        return [self.names[index] for index in indices]

    def to_device(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """All images and labels in the memory of `device`, copied there once and replacing those of single splits."""
        if self.on_device is None:
            for split in self.splits:
                split.on_device = None
        return super().to_device(device)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy images `indices` to `out`, (len(indices), 3, size, size) uint8."""
        for split, positions, split_indices in self.by_split(indices):
            out[positions] = split.images(split_indices).numpy()

    def random_crops(self, crop: int, seed: int, epoch: int) -> "ConcatSplit":
        """Random windows of whole images (`WholeSplit.random_crops`)."""
        found = [split.random_crops(crop, seed, epoch) for split in self.splits if isinstance(split, WholeSplit)]
        return ConcatSplit(list(found))

    @property
    def is_jpeg(self) -> bool:
        return all(split.is_jpeg for split in self.splits)

    def decode_on(self, indices: np.ndarray, device: torch.device) -> Tensor:
        out = torch.empty((len(indices), *self.shape), dtype=torch.uint8, device=device)
        for split, positions, split_indices in self.by_split(indices):
            if len(positions):
                out[torch.from_numpy(positions).to(device)] = split.decode_on(split_indices, device)
        return out

    def prefetch(self, indices: np.ndarray) -> None:
        for split, _, split_indices in self.by_split(indices):
            split.prefetch(split_indices)

    def by_split(self, indices: np.ndarray) -> Iterator[tuple[Split, np.ndarray, np.ndarray]]:
        """Yield (split, positions in `indices` of its images, their indices within the split)."""
        for split, start in zip(self.splits, self.starts, strict=False):
            (positions,) = np.nonzero((indices >= start) & (indices < start + len(split)))
            yield split, positions, indices[positions] - start
