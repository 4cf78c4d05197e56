"""Loaders for training and evaluation. The order is a function of (seed, epoch), or of the seed alone, so a resumed run
needs only the position in the epoch."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import lightning as L
import numpy as np
import torch

from alexnet_pl.data.loading.augment import Batch, Draws
from alexnet_pl.data.loading.streaming import DEFAULT_OPTIONS, LoaderOptions, batch_pipeline
from alexnet_pl.data.store.concat import ConcatSplit
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.errors import UserError

SHUFFLES = ("epoch", "once")


class EpochPosition:
    """Position of a loader: the epoch, and how many of its `batches` were yielded."""

    batches: int

    def __init__(self) -> None:
        self.epoch, self.batches_done, self.resumed = 0, 0, False

    def start_epoch(self) -> None:
        """Start the next epoch, or continue the epoch that a checkpoint was saved in."""
        if self.batches_done and not self.resumed:
            self.epoch, self.batches_done = self.epoch + 1, 0
        self.resumed = False

    def state_dict(self) -> dict[str, int]:
        """Epoch and number of batches yielded; a finished epoch is saved as the start of the next."""
        if self.batches_done == self.batches:
            return {"epoch": self.epoch + 1, "done": 0}
        return {"epoch": self.epoch, "done": self.batches_done}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.epoch, self.batches_done, self.resumed = state_dict["epoch"], state_dict["done"], True


Loader = TypeVar("Loader", bound=EpochPosition)


class ResumableData(L.LightningDataModule):
    """Data module whose state in a checkpoint is the position of training, so that a resumed fit continues with the
    next batch. Lightning saves the position too, but does not restore it from a checkpoint of an epoch's end.

    batch_size: items per step over all devices. Raises ValueError for one below 1.
    """

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: at least 1")
        self.batch_size, self.seed = batch_size, seed
        self.train_loader: EpochPosition | None = None
        self.position: dict[str, int] | None = None

    def check_interval(self, batches: int) -> None:
        """Raise UserError if `trainer.val_check_interval` is more than the `batches` of an epoch."""
        trainer = self.trainer
        assert trainer is not None
        interval, limit = trainer.val_check_interval, trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else batches
        within_epoch = trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches > 0
        if within_epoch and isinstance(interval, int) and interval > batches:
            raise UserError(
                f"trainer.val_check_interval={interval}: an epoch has fewer batches ({batches}); to count them over "
                "all epochs, add trainer.check_val_every_n_epoch=null"
            )

    def resume(self, loader: Loader) -> Loader:
        """`loader`, the new training loader, at the position in the checkpoint."""
        self.train_loader = loader
        if self.position is not None:
            loader.load_state_dict(self.position)
        return loader

    def state_dict(self) -> dict[str, dict[str, int] | None]:
        return {"position": self.train_loader.state_dict() if self.train_loader else None}

    def load_state_dict(self, state_dict: dict[str, dict[str, int] | None]) -> None:
        self.position = state_dict["position"]


class TrainLoader(EpochPosition):
    """Training batches of a split in random order, all of exactly `batch_size` images.

    Images that do not fill a batch are left out of the epoch. With fewer images than `batch_size`, an epoch is one
    batch that repeats some. Order and draws are functions of (seed, epoch, batch), so a resumed run needs only its
    position. Each device loads its share of every batch, so results do not depend on the number of devices.

    `shuffle`: a new order each `epoch`; or `once`, so that every epoch has the same batches and leaves out the same
    images, with new draws. `crop`: for whole images, side of the window read from each; its position is a function of
    (seed, epoch, image).
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        draw: Callable[[int, int, int, int], Draws],
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        limit: int | None = None,
        options: LoaderOptions = DEFAULT_OPTIONS,
        crop: int | None = None,
        shuffle: str = "epoch",
    ) -> None:
        super().__init__()
        self.crop, self.shuffle = crop, shuffle
        self.split, self.batch_size, self.seed, self.draw, self.device = split, batch_size, seed, draw, device
        self.share = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.batches = count_batches(len(split), batch_size)
        if limit is not None:
            self.batches = min(self.batches, limit)
        self.pipeline = batch_pipeline(split, device, options)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        self.start_epoch()
        return self.epoch_batches()

    def epoch_batches(self) -> Iterator[Batch]:
        """Yield the remaining batches of this epoch."""
        order = epoch_order(len(self.split), self.seed, self.epoch if self.shuffle == "epoch" else 0)
        order = np.resize(order, max(len(order), self.batches * self.batch_size))  # repeats images if they are too few
        remaining = range(self.batches_done, self.batches)
        shares = (order[i * self.batch_size : (i + 1) * self.batch_size][self.share] for i in remaining)
        size = self.share.stop - self.share.start
        split, is_cuda = self.split_of_epoch(), self.device.type == "cuda"
        for i, (images, labels) in zip(remaining, self.pipeline(split, shares, size, self.device), strict=True):
            draws = self.draw(self.seed, self.epoch, i, self.batch_size)
            if split is not self.split:
                draws = draws._replace(offsets=torch.zeros_like(draws.offsets))  # already cropped
            self.batches_done = i + 1
            yield Batch(images, labels, Draws(*(d[self.share].to(self.device, non_blocking=is_cuda) for d in draws)))

    def split_of_epoch(self) -> Split:
        """Images of this epoch; for whole images, a random window of each."""
        if self.crop is not None and isinstance(self.split, WholeSplit | ConcatSplit):
            return self.split.random_crops(self.crop, self.seed, self.epoch)
        return self.split


class EvalLoader:
    """Each image of a split once, in order; with several devices, device `rank` of `world` loads every world-th image.

    The last batch is padded with other images; only as many images count as there are labels. `total` is the number of
    images over all devices, which lets a test check that none was skipped or counted twice.

    `limit`: number of batches on each device, of images spread evenly over the classes (`spread_over_classes`).
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        limit: int | None = None,
        options: LoaderOptions = DEFAULT_OPTIONS,
    ) -> None:
        self.split, self.batch_size, self.device = split, batch_size, device
        self.pipeline = batch_pipeline(split, device, options)
        self.total = len(split) if limit is None else min(len(split), limit * batch_size * world)
        chosen = spread_over_classes(split.labels, self.total) if self.total < len(split) else np.arange(self.total)
        self.indices = chosen[rank::world]

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        starts = range(0, len(self.indices), self.batch_size)
        batches = (self.indices[start : start + self.batch_size] for start in starts)
        for images, labels in self.pipeline(self.split, batches, self.batch_size, self.device):
            yield Batch(images, labels)


def spread_over_classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Numbers of `count` images with labels (N,), at even steps through the images sorted by class; in ascending order.

    Stores are sorted by class, so that the first images are of a few classes; in others the classes come in turn, so
    that even steps through the split may meet a few of them again and again.
    """
    by_class = np.argsort(labels, kind="stable")
    return np.sort(by_class[np.arange(count) * len(labels) // max(1, count)])


def count_batches(count: int, batch_size: int) -> int:
    """Number of training batches of an epoch of `count` images or other items."""
    return max(1, count // batch_size)


def check_batch_size(batch_size: int, world: int) -> None:
    """Raise UserError unless all processes have the same number of a batch's images."""
    if batch_size % world:
        raise UserError(f"data.batch_size={batch_size} does not divide by {world} devices")


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Random order of `count` images, a function of (seed, epoch): (count,) int64."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 2])).permutation(count)
