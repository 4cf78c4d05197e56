"""Streaming of batches to the device, without worker processes and without Python code per image.

A thread gathers uint8 images into a ring of reused buffers while the device computes. Worker processes would copy each
batch into new shared memory, which reduces 110,000 images/s to 8,000. A split that fits into a GPU's memory stays
there, and a batch is one gather.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import cache, partial
from itertools import cycle
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.loading.read_ahead import read_ahead, with_prefetch
from alexnet_pl.data.store.split import Split
from alexnet_pl.errors import UserError

NUM_BUFFERS = 4  # two in use, and two that are ready or being filled


class LoaderOptions(NamedTuple):
    """Options of the loaders.

    cache_on_gpu: keep a split in the GPU's memory if it fits.
    readahead: prefetch what later batches will read from disk.
    jpeg_decoder: decode JPEGs on the "cpu" or the "gpu".
    """

    cache_on_gpu: bool = False
    readahead: bool = True
    jpeg_decoder: str = "cpu"


DEFAULT_OPTIONS = LoaderOptions()


@cache
def loader_stream(device: torch.device) -> torch.cuda.Stream:
    """Stream on which all loaders fill their buffers.

    PyTorch hands out 32 streams in turn. With new ones for each loader, one would soon be the stream on which a CUDA
    graph is captured, and the graph would record the loader's copies.
    """
    return torch.cuda.Stream(device)


class BatchBuffer:
    """Buffer for one batch. On a GPU it is filled on a separate stream, in parallel with the network."""

    def __init__(self, batch_size: int, split: Split, device: torch.device) -> None:
        self.batch_size, self.device = batch_size, device
        self.stream = loader_stream(device) if device.type == "cuda" else None
        self.filled, self.released = (
            torch.cuda.Event(blocking=True) if device.type == "cuda" else None for _ in range(2)
        )

    def fill(self, split: Split, indices: np.ndarray) -> None:
        if self.filled is None or self.released is None:
            self.images, self.labels = self.load(split, indices)
            return
        self.released.synchronize()  # so that no more batches are in flight than there are buffers
        with torch.cuda.stream(self.stream):
            self.images, self.labels = self.load(split, indices)
            self.filled.record(self.stream)

    def load(self, split: Split, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Read images and labels to the device."""
        raise NotImplementedError

    def transfer(self) -> tuple[Tensor, Tensor]:
        """Return (images, labels) on the device; the current stream waits for them."""
        if self.filled is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(self.filled)
            for tensor in (self.images, self.labels):
                tensor.record_stream(current)
        return self.images, self.labels

    def release(self) -> None:
        """Mark the buffer as free after the work queued so far."""
        if self.released is not None:
            self.released.record(torch.cuda.current_stream(self.device))


class CpuBuffer(BatchBuffer):
    """Buffer filled by the CPU, in pinned memory if a GPU copies from it."""

    def __init__(self, batch_size: int, split: Split, device: torch.device) -> None:
        super().__init__(batch_size, split, device)
        self.buffer = split.buffer(batch_size, pinned=device.type == "cuda")

    def load(self, split: Split, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        split.read(indices, self.buffer.numpy()[: len(indices)])
        labels = torch.from_numpy(split.labels[indices])
        is_cuda = self.device.type == "cuda"  # MPS would copy what the CPU has overwritten by then
        return self.buffer.to(self.device, non_blocking=is_cuda), labels.to(self.device, non_blocking=is_cuda)


class GpuDecodeBuffer(BatchBuffer):
    """Buffer filled by decoding JPEGs on the GPU."""

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
    """Yield (images, labels) on `device` for each array of at most `batch_size` indices.

    `readahead`: prefetch what later batches will read. `buffer_class`: class of the buffers.

    There are always `batch_size` images, so that no kernel is compiled for a shorter last batch; images beyond the
    labels belong to another batch. On the CPU, a batch is valid until the second batch after it is requested.
    """
    device = with_index(device)
    buffers = [buffer_class(batch_size, split, device) for _ in range(NUM_BUFFERS)]
    filled = fill_buffers(buffers, split, with_prefetch(split, batches) if readahead else batches)
    in_use: deque[BatchBuffer] = deque()
    with closing(read_ahead(filled, NUM_BUFFERS - 2, wait=True)) as ready:
        for buffer in ready:
            in_use.append(buffer)
            yield buffer.transfer()
            if len(in_use) == 2:
                in_use.popleft().release()


def fill_buffers(buffers: list[BatchBuffer], split: Split, batches: Iterable[np.ndarray]) -> Iterator[BatchBuffer]:
    """Fill the buffers in turn with one batch each."""
    if (device := buffers[0].device).type == "cuda":
        torch.cuda.set_device(device)  # each thread has its own current GPU
    for indices, buffer in zip(batches, cycle(buffers), strict=False):
        buffer.fill(split, indices)
        yield buffer


def with_index(device: torch.device) -> torch.device:
    """Replace `cuda` by the current GPU, since another thread may have another current GPU."""
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


def batches_on_gpu(
    split: Split, batches: Iterable[np.ndarray], batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Like `stream_batches`, from a split in the device's memory."""
    images, labels = split.to_device(device)
    for indices in batches:
        positions = torch.from_numpy(np.resize(indices, batch_size)).to(device, non_blocking=True)
        yield gather_images(images, positions), labels.index_select(0, positions[: len(indices)])


def gather_images(images: Tensor, positions: Tensor) -> Tensor:
    """Select images by position, (N, 3, size, size) uint8, copying eight bytes at a time if the size allows it."""
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    dense = images.permute(0, 2, 3, 1) if channels_last else images
    words = dense.reshape(len(dense), -1)
    words = words.view(torch.int64) if words.shape[1] % 8 == 0 else words
    gathered = words.index_select(0, positions).view(torch.uint8).view(-1, *dense.shape[1:])
    return gathered.permute(0, 3, 1, 2) if channels_last else gathered


def batch_pipeline(
    split: Split, device: torch.device, options: LoaderOptions
) -> Callable[..., Iterator[tuple[Tensor, Tensor]]]:
    """Function that yields batches: from the GPU's memory if `cache_on_gpu` and the split fits, else streamed. Images
    that the GPU decodes are always streamed.

    Raises UserError if `jpeg_decoder` is "gpu" and there is no GPU.
    """
    if options.jpeg_decoder == "gpu" and device.type != "cuda":
        raise UserError("performance.jpeg_decoder=gpu: there is no GPU; leave it out to decode on the CPU")
    buffer_class = GpuDecodeBuffer if options.jpeg_decoder == "gpu" and split.is_jpeg else CpuBuffer
    stream = partial(stream_batches, readahead=options.readahead, buffer_class=buffer_class)
    cached = options.cache_on_gpu and device.type == "cuda" and buffer_class is CpuBuffer  # one decoder for all epochs
    return partial(batches_auto, stream) if cached else stream


def batches_auto(
    stream: Callable[..., Iterator[tuple[Tensor, Tensor]]],
    split: Split,
    batches: Iterable[np.ndarray],
    batch_size: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches from the GPU's memory if the split fits, else streamed.

    Decided at the start of each epoch, since two splits may not fit together.
    """
    free, total = torch.cuda.mem_get_info(device)
    fits = split.constant and (split.on_device is not None or split.bytes < free - total // 4)
    return (batches_on_gpu if fits else stream)(split, batches, batch_size, device)
