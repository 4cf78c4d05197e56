"""`jpeg` encoding of a store: baseline JPEGs in tar archives in WebDataset's layout, readable by other tools too.

    train-000000.tar    00000000.jpg, 00000000.cls (the class index; −1 if unknown), 00000001.jpg, …
    train.index.npy     (records, 2) int64: offset of each image's bytes in its archive, and their number

Quality 95 with half-resolution chroma is what the authors' later tool stored. JPEGs are never progressive, which takes
three times as long to decode.
"""

import io
import mmap
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from alexnet_pl.data.images import decode_batch, decode_into
from alexnet_pl.data.store.file_limit import allow_late_opening
from alexnet_pl.data.store.raw import REPAIR, advise_willneed, check_size
from alexnet_pl.data.store.threads import shared_threads
from alexnet_pl.errors import UserError
from alexnet_pl.runtime.cores import cores

NAME, SUFFIX = "jpeg", "tar"
HEADER = tarfile.BLOCKSIZE
IMAGES_PER_TASK = 8  # images per task of a thread; one per task costs a quarter of the throughput


class JpegWriter:
    """Writer of one shard. Unreadable images are left out."""

    def __init__(self, file: IO[bytes], quality: int) -> None:
        self.file, self.quality = file, quality

    def add(self, number: int, label: int, image: np.ndarray | None) -> int:
        """Write image `number` of the split; return the size of its JPEG in bytes, 0 for None.

        `image`: (3, size, size) uint8 with contiguous planes, or None if it could not be read. Pillow interleaves the
        planes faster than NumPy.
        """
        if image is None:
            return 0
        buffer = io.BytesIO()  # by Pillow, since simplejpeg has only the fast DCT, which loses 0.3 dB
        pixels = Image.merge("RGB", [Image.fromarray(plane) for plane in image])
        pixels.save(buffer, "JPEG", quality=self.quality, subsampling="4:2:0")
        data = buffer.getvalue()
        self.write_member(f"{number:08d}.jpg", data)
        self.write_member(f"{number:08d}.cls", str(label).encode())
        return len(data)

    def write_member(self, name: str, data: bytes) -> None:
        """Write a tar member without time, owner or mode, so that shards are reproducible."""
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self.file.write(member.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % HEADER))

    def finish(self) -> None:
        self.file.write(bytes(2 * HEADER))


def compute_byte_ranges(sizes: np.ndarray) -> np.ndarray:
    """Offset and size of each JPEG of a shard, (records, 2), from the sizes that `JpegWriter.add` returned."""
    ranges, position = np.zeros((len(sizes), 2), np.int64), 0
    for record, size in enumerate(sizes.tolist()):
        if size:
            ranges[record] = position + HEADER, size
            position += 3 * HEADER + size + -size % HEADER
    return ranges


def shard_bytes(sizes: np.ndarray) -> int:
    """Size of a shard in bytes: per JPEG its size, two headers and a label of one block each; two blocks at the end."""
    written = sizes[sizes > 0]
    return int((3 * HEADER + written + -written % HEADER).sum()) + 2 * HEADER


class JpegReader:
    """Reader of a split: memory-mapped shards, decoded by one thread per core to channels-last RGB.

    Raises UserError if a shard is missing or an image corrupt.
    """

    channels_last = True

    def __init__(self, paths: Iterable[Path], counts: Iterable[int], index: np.ndarray) -> None:
        self.paths, self.counts, self.index = list(paths), list(counts), index
        self.per_shard = self.counts[0]
        for number, path in enumerate(self.paths):
            check_size(path, shard_bytes(index[number * self.per_shard :][: self.counts[number], 1]))
        self.shards: dict[int, mmap.mmap] = {}
        allow_late_opening(self, self.paths[0])

    @property
    def unopened(self) -> int:
        return len(self.paths) - len(self.shards)

    def read(self, slots: np.ndarray, out: np.ndarray) -> None:
        """Decode the images `slots` into `out`, (len(slots), 3, size, size) uint8 in channels-last memory."""
        decode_in_threads(self.decode, slots, out.transpose(0, 2, 3, 1))

    def decode(self, slots: np.ndarray, rows: np.ndarray) -> None:
        for slot, row in zip(slots.tolist(), rows, strict=True):
            try:
                decode_into(self.jpeg_bytes(slot), row)
            except ValueError as error:
                problem = f"{self.paths[slot // self.per_shard]}: image {slot:,} is corrupt ({error})"
                raise UserError(f"{problem}; {REPAIR}") from error

    def read_windows(self, slots: np.ndarray, sizes: np.ndarray, corners: np.ndarray, out: np.ndarray) -> None:
        """Decode a window of each image into `out`, (n, 3, crop, crop) uint8 in channels-last memory.

        `sizes`: (n, 2) height and width of the images; `corners`: (n, 2) top and left edge of the windows.
        """
        decode_in_threads(self.decode_windows, slots, sizes, corners, out.transpose(0, 2, 3, 1))

    def decode_windows(self, slots: np.ndarray, sizes: np.ndarray, corners: np.ndarray, rows: np.ndarray) -> None:
        crop = rows.shape[1]
        buffer = np.empty(3 * sizes.prod(1).max(), np.uint8)  # reused for all images: none is larger
        for slot, (height, width), (top, left), row in zip(slots, sizes.tolist(), corners.tolist(), rows, strict=True):
            image = self.decode_whole(int(slot), height, width, buffer[: 3 * height * width])
            row[:] = image[top : top + crop, left : left + crop]

    def decode_whole(self, slot: int, height: int, width: int, buffer: np.ndarray | None = None) -> np.ndarray:
        """Decode an image of any size: (height, width, 3) uint8, in `buffer` of exactly that size or in new memory."""
        pixels = np.empty(3 * height * width, np.uint8) if buffer is None else buffer
        image = pixels.reshape(height, width, 3)
        self.decode(np.array([slot]), image[None])
        return image

    def decode_on(self, slots: np.ndarray, device: torch.device) -> Tensor:
        """Decode images on a GPU: (N, 3, size, size) uint8 on `device`. Raises RuntimeError if any is corrupt."""
        return decode_batch([self.jpeg_bytes(slot) for slot in slots.tolist()], device)

    def jpeg_bytes(self, slot: int) -> memoryview:
        """Bytes of the JPEG of an image."""
        begin, size = self.index[slot].tolist()
        return memoryview(self.open_shard(slot // self.per_shard))[begin : begin + size]

    def prefetch(self, slots: np.ndarray) -> None:
        """Ask the kernel to read the images `slots` ahead."""
        for slot in slots.tolist():
            begin, size = self.index[slot].tolist()
            advise_willneed(self.open_shard(slot // self.per_shard), begin, size)

    def open_shard(self, shard: int) -> mmap.mmap:
        if shard not in self.shards:
            with self.paths[shard].open("rb") as file:
                self.shards[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self.shards[shard]


def decode_in_threads(decode: Callable[..., None], *arrays: np.ndarray) -> None:
    """Call `decode` on parts of the arrays, of `IMAGES_PER_TASK` images each; without threads if there is one part."""
    parts = [slice(start, start + IMAGES_PER_TASK) for start in range(0, len(arrays[0]), IMAGES_PER_TASK)]
    if len(parts) == 1:
        return decode(*arrays)
    list(shared_threads(cores(), "decode").map(decode, *([each[part] for part in parts] for each in arrays)))
