"""Stream batches to the device without worker processes and without Python code per image.

A thread gathers whole uint8 images into a ring of reused buffers while the device computes. Worker processes would
copy each batch into fresh shared memory and bring a rate of 110,000 images/s down to 8,000. A split that fits into a
GPU's memory stays there, and a batch is one gather.
"""

import resource
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import Queue
from threading import Event, Thread
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.store.store import Split
from alexnet_pl.errors import UserError

NUM_BUFFERS = 4  # buffers: one in use, one ready, one being filled, one to spare


class LoaderOptions(NamedTuple):
    """How images come to the device. `keep`: a split that fits stays in the GPU's memory. `ahead`: the disk is asked
    for what later batches will read. `decode`: JPEGs are decoded by the `cpu` or the `gpu`."""

    cache_on_gpu: bool = False
    readahead: bool = True
    jpeg_decoder: str = "cpu"


DEFAULT_OPTIONS = LoaderOptions()


class BatchBuffer:
    """Room for one batch. On a GPU it is filled on a stream of its own, beside the network's work."""

    def __init__(self, batch_size: int, split: Split, device: torch.device) -> None:
        self.batch_size, self.device = batch_size, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.filled, self.released = (
            torch.cuda.Event(blocking=True) if device.type == "cuda" else None for _ in range(2)
        )

    def fill(self, split: Split, indices: np.ndarray) -> None:
        if self.filled is None or self.released is None:
            self.images, self.labels = self.load(split, indices)
            return
        self.released.synchronize()  # by what came after `done`: no more batches than there are slots are under way
        with torch.cuda.stream(self.stream):
            self.images, self.labels = self.load(split, indices)
            self.filled.record(self.stream)

    def load(self, split: Split, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """(images, labels) on the device."""
        raise NotImplementedError

    def transfer(self) -> tuple[Tensor, Tensor]:
        if self.filled is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(self.filled)
            for tensor in (self.images, self.labels):
                tensor.record_stream(current)
        return self.images, self.labels

    def release(self) -> None:
        """Mark the buffer as free once the work that reads it is queued."""
        if self.released is not None:
            self.released.record(torch.cuda.current_stream(self.device))


class CpuBuffer(BatchBuffer):
    """Buffer that the CPU reads or decodes into, pinned if a GPU copies from it."""

    def __init__(self, batch_size: int, split: Split, device: torch.device) -> None:
        super().__init__(batch_size, split, device)
        self.buffer = split.buffer(batch_size, pinned=device.type == "cuda")

    def load(self, split: Split, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        split.read(indices, self.buffer.numpy()[: len(indices)])
        labels = torch.from_numpy(split.labels[indices])
        return self.buffer.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


class GpuDecodeBuffer(BatchBuffer):
    """Buffer whose JPEGs the GPU decodes."""

    def load(self, split: Split, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        images = split.decode_on(np.resize(indices, self.batch_size), self.device)
        return images, torch.from_numpy(split.labels[indices]).to(self.device, non_blocking=True)


def stream_batches(
    split: Split,
    batches: Iterable[np.ndarray],
    batch_size: int,
    device: torch.device,
    readahead: bool = True,
    buffer_class: type[BatchBuffer] = CpuBuffer,
) -> Iterator[tuple[Tensor, Tensor]]:
    """(images, labels) on `device` for each array of at most `batch_size` indices.

    `ahead`: the disk is asked for what later batches will read. `room`: who fills a batch.

    There are always `batch_size` images, so that no kernel is made for the size of a last batch; those past the labels
    are of another batch. On the CPU they are valid until the next batch but one is asked for.
    """
    device = with_index(device)
    free: Queue[BatchBuffer | None] = Queue()
    ready: Queue[BatchBuffer | BaseException | None] = Queue()
    stop = Event()
    for _ in range(NUM_BUFFERS):
        free.put(buffer_class(batch_size, split, device))

    def gather() -> None:
        try:
            if device.index is not None:
                torch.cuda.set_device(device)
            for indices in with_readahead(split, batches) if readahead else batches:
                buffer = free.get()
                if buffer is None or stop.is_set():
                    return
                buffer.fill(split, indices)
                ready.put(buffer)
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    thread = Thread(target=gather, daemon=True, name="loader")
    thread.start()
    try:
        in_use: list[BatchBuffer] = []
        while (slot := ready.get()) is not None:
            if isinstance(slot, BaseException):
                raise slot
            in_use.append(slot)
            yield slot.transfer()
            if len(in_use) == 2:
                in_use[0].release()
                free.put(in_use.pop(0))
    finally:
        stop.set()
        free.put(None)
        thread.join()


def with_index(device: torch.device) -> torch.device:
    """The GPU that is meant by `cuda`, which in another thread may be another one."""
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


def batches_on_gpu(
    split: Split, batches: Iterable[np.ndarray], batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """As `stream`, from a split that lies in the device's memory."""
    images, labels = split.to_device(device)
    for indices in batches:
        positions = torch.from_numpy(np.resize(indices, batch_size)).to(device, non_blocking=True)
        yield gather_images(images, positions), labels.index_select(0, positions[: len(indices)])


def gather_images(images: Tensor, positions: Tensor) -> Tensor:
    """Some of the images, (N, 3, size, size) uint8, copied eight bytes at a time where their number allows it."""
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    dense = images.permute(0, 2, 3, 1) if channels_last else images
    words = dense.reshape(len(dense), -1)
    words = words.view(torch.int64) if words.shape[1] % 8 == 0 else words
    gathered = words.index_select(0, positions).view(torch.uint8).view(-1, *dense.shape[1:])
    return gathered.permute(0, 3, 1, 2) if channels_last else gathered


def batch_pipeline(
    split: Split, device: torch.device, options: LoaderOptions
) -> Callable[..., Iterator[tuple[Tensor, Tensor]]]:
    """`resident` where asked for and the device, a GPU, has room for the split beside a network; else `stream`. Raises
    UserError where a GPU is to decode and there is none."""
    if options.jpeg_decoder == "gpu" and device.type != "cuda":
        raise UserError("performance.jpeg_decoder=gpu: there is no GPU here; leave it out, and the CPU decodes")
    buffer_class = GpuDecodeBuffer if options.jpeg_decoder == "gpu" and split.is_jpeg else CpuBuffer
    stream = partial(stream_batches, readahead=options.readahead, buffer_class=buffer_class)
    return partial(batches_auto, stream) if options.cache_on_gpu and device.type == "cuda" else stream


def batches_auto(
    stream: Callable[..., Iterator[tuple[Tensor, Tensor]]],
    split: Split,
    batches: Iterable[np.ndarray],
    batch_size: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Decided as an epoch begins, not before: two splits that each would fit may not fit together."""
    free, total = torch.cuda.mem_get_info(device)
    fits = split.on_device is not None or split.bytes < free - total // 4
    return (batches_on_gpu if fits else stream)(split, batches, batch_size, device)


READAHEAD_BATCHES = 4  # batches between asking and reading
BATCHES_AFTER_FAULT = 64  # batches for which it goes on after a read that had to wait


def with_readahead(split: Split, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same batches in the same order; those that follow are announced to the kernel.

    Announcing costs some microseconds an image, also where the file is in memory already; it is left out as long as
    no read has had to wait for a disk.
    """
    waiting: deque[np.ndarray] = deque()
    remaining, faults = BATCHES_AFTER_FAULT, count_major_faults()
    for indices in batches:
        waiting.append(indices)
        if remaining:
            split.prefetch(indices)
        if len(waiting) > READAHEAD_BATCHES:
            yield waiting.popleft()
            remaining, faults, before = max(0, remaining - 1), count_major_faults(), faults
            if faults > before:
                remaining = BATCHES_AFTER_FAULT
    yield from waiting


def count_major_faults() -> int:
    """Page faults of this process that waited for a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt
