"""The store's `jpeg` encoding: baseline JPEGs in tar archives in WebDataset's layout, which other tools read too.

    train-000000.tar    00000000.jpg, 00000000.cls (the class index; −1: not known), 00000001.jpg, …
    train.index.npy     (records, 2) int64: where in its archive each image's bytes begin, and how many they are

Quality 95 with chroma at half resolution is what the authors' later tool stored. Never progressive: that takes three
times as long to decode.
"""

import io
import mmap
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from alexnet_pl.data.images import decode_batch, decode_into
from alexnet_pl.data.store.raw import REPAIR, advise_willneed, check_size
from alexnet_pl.errors import UserError
from alexnet_pl.runtime import cores

NAME, SUFFIX = "jpeg", "tar"
SUBSAMPLINGS = {420: "4:2:0", 422: "4:2:2", 444: "4:4:4"}
HEADER = tarfile.BLOCKSIZE
PART = 8  # images that a thread decodes in a row: handing over each by itself costs a fourth of the rate


class JpegWriter:
    """One shard. An image that could not be read is not in it."""

    def __init__(self, file: IO[bytes], quality: int, subsampling: int) -> None:
        self.file, self.quality, self.subsampling = file, quality, SUBSAMPLINGS[subsampling]

    def add(self, number: int, label: int, image: np.ndarray | None) -> int:
        """Write image `number` of the split, (3, size, size) uint8 with dense planes, or None; the bytes of its
        JPEG. Pillow weaves the planes faster than NumPy does."""
        if image is None:
            return 0
        packed = io.BytesIO()  # by Pillow: simplejpeg encodes by the fast transform alone, at a loss of 0.3 dB
        pixels = Image.merge("RGB", [Image.fromarray(plane) for plane in image])
        pixels.save(packed, "JPEG", quality=self.quality, subsampling=self.subsampling)
        data = packed.getvalue()
        self.write(f"{number:08d}.jpg", data)
        self.write(f"{number:08d}.cls", str(label).encode())
        return len(data)

    def write(self, name: str, data: bytes) -> None:
        """A member; nothing of when, where or by whom it was written."""
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self.file.write(member.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % HEADER))

    def finish(self) -> None:
        self.file.write(bytes(2 * HEADER))


def byte_ranges(sizes: np.ndarray) -> np.ndarray:
    """(records, 2): begin and size of the JPEGs of one shard, from what `add` returned for each."""
    found, at = np.zeros((len(sizes), 2), np.int64), 0
    for record, size in enumerate(sizes.tolist()):
        if size:
            found[record] = at + HEADER, size
            at += 3 * HEADER + size + -size % HEADER
    return found


def shard_bytes(sizes: np.ndarray) -> int:
    """Bytes of a shard by those of its images: two headers and a label of one block each, and two blocks at the end."""
    there = sizes[sizes > 0]
    return int((3 * HEADER + there + -there % HEADER).sum()) + 2 * HEADER


class JpegReader:
    """The images of a split, mapped into memory and decoded by one thread a core, to RGB with channels last."""

    channels_last = True

    def __init__(self, paths: Iterable[Path], counts: Iterable[int], index: np.ndarray) -> None:
        self.paths, self.counts, self.index = list(paths), list(counts), index
        self.per_shard = self.counts[0]
        for number, path in enumerate(self.paths):
            check_size(path, shard_bytes(index[number * self.per_shard :][: self.counts[number], 1]))
        self.shards: dict[int, mmap.mmap] = {}

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(cores(), "decode")

    def read(self, slots: np.ndarray, out: np.ndarray) -> None:
        """`out`: (len(slots), 3, size, size) uint8 over memory in which channels come last."""
        rows = out.transpose(0, 2, 3, 1)
        parts = [slice(start, start + PART) for start in range(0, len(slots), PART)]
        list(self.threads.map(self.decode, (slots[part] for part in parts), (rows[part] for part in parts)))

    def decode(self, slots: np.ndarray, rows: np.ndarray) -> None:
        for slot, row in zip(slots.tolist(), rows, strict=True):
            try:
                decode_into(self.file(slot), row)
            except ValueError as error:
                where = f"{self.paths[slot // self.per_shard]}: image {slot:,} is damaged ({error})"
                raise UserError(f"{where}; {REPAIR}") from error

    def read_windows(self, slots: np.ndarray, sizes: np.ndarray, corners: np.ndarray, out: np.ndarray) -> None:
        """A window of each image: `sizes`, (n, 2) height and width of the images; `corners`, (n, 2) its top and left
        edge; `out`, (n, 3, crop, crop) uint8 over memory in which channels come last."""
        rows = out.transpose(0, 2, 3, 1)
        parts = [slice(start, start + PART) for start in range(0, len(slots), PART)]
        list(
            self.threads.map(
                self.decode_windows, *([each[part] for part in parts] for each in (slots, sizes, corners, rows))
            )
        )

    def decode_windows(self, slots: np.ndarray, sizes: np.ndarray, corners: np.ndarray, rows: np.ndarray) -> None:
        crop = rows.shape[1]
        room = np.empty(3 * sizes.prod(1).max(), np.uint8)  # one for all: none is larger
        for slot, (height, width), (top, left), row in zip(slots, sizes.tolist(), corners.tolist(), rows, strict=True):
            image = self.decode_whole(int(slot), height, width, room[: 3 * height * width])
            row[:] = image[top : top + crop, left : left + crop]

    def decode_whole(self, slot: int, height: int, width: int, room: np.ndarray | None = None) -> np.ndarray:
        """An image of any shape, (height, width, 3) uint8, in `room` of its own size or in memory of its own."""
        pixels = np.empty(3 * height * width, np.uint8) if room is None else room
        image = pixels.reshape(height, width, 3)
        self.decode(np.array([slot]), image[None])
        return image

    def decoded(self, slots: np.ndarray, device: torch.device) -> Tensor:
        """(len(slots), 3, size, size) uint8, decoded by `device` and in its memory. Raises RuntimeError."""
        return decode_batch([self.file(slot) for slot in slots.tolist()], device)

    def file(self, slot: int) -> memoryview:
        """The bytes of an image's JPEG."""
        begin, size = self.index[slot].tolist()
        return self.mapped(slot // self.per_shard)[begin : begin + size]

    def expect(self, slots: np.ndarray) -> None:
        """These will be read soon."""
        for slot in slots.tolist():
            begin, size = self.index[slot].tolist()
            advise_willneed(self.opened(slot // self.per_shard), begin, size)

    def mapped(self, shard: int) -> memoryview:
        return memoryview(self.opened(shard))

    def opened(self, shard: int) -> mmap.mmap:
        if shard not in self.shards:
            with self.paths[shard].open("rb") as file:
                self.shards[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self.shards[shard]
