"""Batches for the device, with nothing per image done in Python and no worker processes.

A thread gathers whole uint8 images into a ring of reused buffers while the device computes. Worker processes would
copy each batch into fresh shared memory and bring a rate of 110,000 images/s down to 8,000.
"""

from collections.abc import Callable, Iterable, Iterator
from queue import Queue
from threading import Event, Thread
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.augment import Batch, Draws
from alexnet_pl.data.store import Split

DEPTH = 4  # buffers: one in use, one ready, one being filled, one to spare


class Slot:
    """A reused buffer for one batch, pinned where a GPU will copy from it while the host goes on."""

    def __init__(self, batch_size: int, split: Split, device: torch.device) -> None:
        shape = (batch_size, *split.records.shape[1:])
        self.images = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self.count, self.labels = 0, torch.empty(0, dtype=torch.int64)
        self.copied = torch.cuda.Event() if device.type == "cuda" else None

    def fill(self, split: Split, indices: np.ndarray) -> None:
        if self.copied is not None:
            self.copied.synchronize()
        self.count = len(indices)
        split.read(indices, self.images.numpy()[: self.count])
        self.labels = torch.from_numpy(split.labels[indices])

    def send(self, device: torch.device) -> tuple[Tensor, Tensor]:
        images = self.images[: self.count].to(device, non_blocking=True)
        if self.copied is not None:
            self.copied.record()
        return images, self.labels.to(device, non_blocking=True)


def stream(
    split: Split, batches: Iterable[np.ndarray], batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """(images, labels) on `device` for each array of indices; on the CPU valid until the next but one is asked for."""
    free: Queue[Slot | None] = Queue()
    ready: Queue[Slot | BaseException | None] = Queue()
    stop = Event()
    for _ in range(DEPTH):
        free.put(Slot(batch_size, split, device))

    def gather() -> None:
        try:
            for indices in batches:
                slot = free.get()
                if slot is None or stop.is_set():
                    return
                slot.fill(split, indices)
                ready.put(slot)
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    thread = Thread(target=gather, daemon=True, name="loader")
    thread.start()
    try:
        held: list[Slot] = []
        while (slot := ready.get()) is not None:
            if isinstance(slot, BaseException):
                raise slot
            held.append(slot)
            yield slot.send(device)
            if len(held) == 2:
                free.put(held.pop(0))
    finally:
        stop.set()
        free.put(None)
        thread.join()


class TrainLoader:
    """A split in a new random order each epoch, in batches of exactly `batch_size` (the rest waits for another epoch).

    Order and draws are functions of (seed, epoch, batch), so all that a resumed run needs is (epoch, done). On several
    devices each takes its share of every batch, so the run is the same whatever their number.
    Lightning saves and restores `state_dict` with the loop.
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
    ) -> None:
        self.split, self.batch_size, self.seed, self.draw, self.device = split, batch_size, seed, draw, device
        self.share = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.batches = min(len(split) // batch_size, limit or len(split))
        self.epoch, self.done, self.resumed = 0, 0, False

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        if self.done and not self.resumed:
            self.epoch, self.done = self.epoch + 1, 0
        self.resumed = False
        order = permutation(len(self.split), self.seed, self.epoch)
        todo = range(self.done, self.batches)
        shares = (order[i * self.batch_size : (i + 1) * self.batch_size][self.share] for i in todo)
        for i, (images, labels) in zip(todo, stream(self.split, shares, self.share_size, self.device), strict=True):
            drawn = self.draw(self.seed, self.epoch, i, self.batch_size)
            self.done = i + 1
            yield Batch(images, labels, Draws(*(d[self.share].to(self.device, non_blocking=True) for d in drawn)))

    @property
    def share_size(self) -> int:
        return self.share.stop - self.share.start

    def state_dict(self) -> dict[str, int]:
        """The epoch and how many of its batches were handed out; a finished epoch is the next one's start."""
        if self.done == self.batches:
            return {"epoch": self.epoch + 1, "done": 0}
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.done, self.resumed = state["epoch"], state["done"], True


class EvalLoader:
    """Each image of a split once, in order; of several devices, device `rank` of `world` takes every world-th image.

    `total` counts the images over all devices, so that a report can prove that none was missed or counted twice.
    """

    def __init__(
        self, split: Split, batch_size: int, device: torch.device, rank: int = 0, world: int = 1, limit: int | None = None
    ) -> None:
        self.split, self.batch_size, self.device = split, batch_size, device
        self.total = min(len(split), limit * batch_size * world if limit else len(split))
        self.indices = np.arange(rank, len(split), world)[: limit * batch_size if limit else None]

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        batches = np.split(self.indices, range(self.batch_size, len(self.indices), self.batch_size))
        for images, labels in stream(self.split, batches, self.batch_size, self.device):
            yield Batch(images, labels)


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """A random order of `count` images, the same for the same (seed, epoch)."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 2])).permutation(count)
