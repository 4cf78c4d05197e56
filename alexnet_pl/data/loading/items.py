"""ItemLoader and ItemDataModule: batches of feature vectors, windows or whole images, selected by index.

Used to train short codes (§7.1) and box networks (OverFeat §4, §5).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from alexnet_pl.data.loading.loaders import EpochPosition, ResumableData, count_batches, epoch_order
from alexnet_pl.data.loading.read_ahead import read_ahead


class ItemLoader(EpochPosition):
    """Batches of items, selected by index. In training, a new random order each epoch, without the items that do not
    fill a batch; otherwise all items in order.

    The order is a function of (seed, epoch). With several devices, each takes its share of every batch.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, training: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__()
        self.count, self.batch_size, self.seed, self.training = count, batch_size, seed, training
        self.share = slice(rank, None, world)
        self.batches = count_batches(count, batch_size) if training else -(-count // batch_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Any]:
        if self.training:
            self.start_epoch()
        order = epoch_order(self.count, self.seed, self.epoch) if self.training else np.arange(self.count)
        remaining = range(self.batches_done if self.training else 0, self.batches)
        read = (self.read_batch(i, order[i * self.batch_size : (i + 1) * self.batch_size]) for i in remaining)
        for i, batch in zip(remaining, read_ahead(read), strict=True):
            self.batches_done = i + 1
            yield batch

    @abstractmethod
    def read_batch(self, batch: int, numbers: np.ndarray) -> Any:
        """Read this device's share of batch `batch`; `numbers`: indices of its items over all devices. Called in a
        thread."""


class RowLoader(ItemLoader):
    """Batches of rows of a file. `read_rows`: reads the rows with these numbers, which ascend."""

    def __init__(
        self,
        count: int,
        read_rows: Callable[[np.ndarray], Any],
        batch_size: int,
        seed: int,
        training: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(count, batch_size, seed, training, rank, world)
        self.read_rows = read_rows

    def read_batch(self, batch: int, numbers: np.ndarray) -> Any:
        return self.read_rows(np.sort(numbers[self.share]))


class ItemDataModule(ResumableData):
    """Training and validation loaders."""

    @abstractmethod
    def make_loader(self, split: str, training: bool) -> ItemLoader:
        """Loader of the split `train` or `val` for this device."""

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self.check_interval(len(self.make_loader("train", training=True)))

    @property
    def rank_and_world(self) -> tuple[int, int]:
        """This process's rank and the number of processes."""
        assert self.trainer is not None
        return self.trainer.global_rank, self.trainer.world_size

    def train_dataloader(self) -> ItemLoader:
        return self.resume(self.make_loader("train", training=True))

    def val_dataloader(self) -> ItemLoader:
        return self.make_loader("val", training=False)
