"""Batches of features (§7.1) for the auto-encoder, read from the disk as they are needed."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.loader import permutation
from alexnet_pl.data.position import Position
from alexnet_pl.features import Features


class VectorLoader(Position):
    """(batch, width) float32 in a new random order each epoch, or with `shuffled` false in order, all of them.

    The order is a function of (seed, epoch), so that a resumed run needs only (epoch, done). Of several devices, each
    takes its share of every batch.
    """

    def __init__(
        self, features: Features, batch_size: int, seed: int, shuffled: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__()
        self.features, self.batch_size, self.seed, self.shuffled = features, batch_size, seed, shuffled
        self.share = slice(rank, None, world)
        count = len(features)
        self.batches = max(1, count // batch_size) if shuffled else -(-count // batch_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Tensor]:
        if self.shuffled:
            self.begin()
        first = self.done if self.shuffled else 0
        count = len(self.features)
        order = permutation(count, self.seed, self.epoch) if self.shuffled else np.arange(count)
        for i in range(first, len(self)):
            self.done = i + 1
            numbers = order[i * self.batch_size : (i + 1) * self.batch_size][self.share]
            yield torch.from_numpy(self.features.rows(np.sort(numbers)))


class Origin(NamedTuple):
    """The store that the features are of, as provenance names it."""

    name: str
    fingerprint: str


class Vectors(L.LightningDataModule):
    """Features to learn from, and others to see how well."""

    def __init__(self, train: Features, val: Features, batch_size: int, seed: int = 0) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: at least 1")
        self.train, self.val, self.batch_size, self.seed = train, val, batch_size, seed
        self.position: dict[str, int] | None = None

    @property
    def store(self) -> Origin:
        about = self.train.about["dataset"]
        return Origin(about["name"], about["fingerprint"])

    def place(self) -> tuple[int, int]:
        """Rank and number of devices."""
        assert self.trainer is not None
        return self.trainer.global_rank, self.trainer.world_size

    @cached_property
    def training(self) -> VectorLoader:
        return VectorLoader(self.train, self.batch_size, self.seed, True, *self.place())

    def train_dataloader(self) -> VectorLoader:
        if self.position is not None:
            self.training.load_state_dict(self.position)
        return self.training

    def val_dataloader(self) -> VectorLoader:
        return VectorLoader(self.val, self.batch_size, self.seed, False, *self.place())

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.training.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.position = state_dict["position"]
