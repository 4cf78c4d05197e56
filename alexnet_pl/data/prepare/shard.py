"""Shard of a store, and the metadata file that marks it as finished.

The metadata file is written atomically, after the shard is on disk. A resumed run skips shards that have one.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from blake3 import blake3

from alexnet_pl.data.images import decode, raw_rgb, resize_center_crop, resize_shorter_side
from alexnet_pl.data.prepare.box_records import NAMES, BoxCollector
from alexnet_pl.data.prepare.loaded_images import load_gzipped
from alexnet_pl.data.prepare.statistics import Sums, running_statistics
from alexnet_pl.data.sources.base import ImageRecord
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.split import EMPTY
from alexnet_pl.errors import UserError, reason
from alexnet_pl.temporary_files import replacing

ImageReader = Callable[[ImageRecord], tuple[np.ndarray, str] | tuple[np.ndarray, str, tuple[int, int]]]
"""Function from a record to its (3, size, size) uint8 image, a note on a non-standard file, and for a resized whole
image its original (height, width); raises ValueError if there is no image."""


class ShardResult(NamedTuple):
    """Metadata of a shard: label and bytes of each image, sums for the statistics, size and checksum of the file,
    irregular images; for whole images also sizes and boxes (box_records.py)."""

    labels: np.ndarray
    sizes: np.ndarray
    sums: Sums
    bytes: int
    blake3: str
    odd: list[dict[str, str]]
    boxes: dict[str, np.ndarray] = {}  # noqa: RUF012 (never changed)


class HashingWriter:
    """File wrapper that computes the checksum of what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.checksum = file, blake3()

    def write(self, data: Any) -> int:
        self.checksum.update(data)
        return self.file.write(data)


def write_shard(
    path: Path,
    items: Iterable[ImageRecord],
    start: int,
    size: int,
    encoding: StoreEncoding,
    read: ImageReader,
    count: bool,
    report: Callable[[], None] = lambda: None,
) -> ShardResult:
    """Write the images of `items`, the first being image `start` of its split, to `path`.

    `count`: add them to the statistics; `report`: called after each image.
    """
    labels, sizes, irregular, statistics = [], [], [], running_statistics(size, encoding.is_whole)
    boxes = BoxCollector()
    with path.open("wb") as file:
        hashed = HashingWriter(file)
        writer = encoding.writer(hashed, size)  # type: ignore[arg-type]
        for number, item in enumerate(load_gzipped(items), start):
            image, original, entry = read_image(item, read)
            if image is not None:
                image = np.ascontiguousarray(image)  # contiguous planes: the stored format, and the fastest to sum
                if count:
                    statistics.add(image)
            annotated = boxes.add(item, image, original) if encoding.is_whole else None
            irregular += [each for each in (entry, annotated) if each]
            labels.append(EMPTY if image is None else item.label)
            sizes.append(writer.add(number, item.label, image))
            report()
        writer.finish()
        file.flush()
        os.fsync(file.fileno())
    kinds = np.array(labels, np.int32), np.array(sizes, np.int64)
    file_facts = path.stat().st_size, hashed.checksum.hexdigest(), irregular
    return ShardResult(*kinds, statistics.sums, *file_facts, boxes.arrays() if encoding.is_whole else {})


def read_image(
    item: ImageRecord, read: ImageReader
) -> tuple[np.ndarray | None, tuple[int, int], dict[str, str] | None]:
    """Read an image: (image or None if unreadable, original height and width, entry for odd.json or None)."""
    try:
        image, note, *original = read(item)
    except ValueError as error:
        return None, (0, 0), {"name": item.name, "what": str(error), "done": "left out"}
    entry = {"name": item.name, "what": note, "done": "converted to RGB"} if note else None
    return image, original[0] if original else image.shape[1:], entry


def make_shard(path: Path, *args: Any) -> None:
    """Write the shard, then its metadata, which marks it as finished."""
    with replacing(path) as temporary:
        result = write_shard(temporary, *args)
    with replacing(metadata_path(path)) as temporary:
        write_shard_metadata(temporary, result)


def metadata_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.npz")


def write_shard_metadata(path: Path, result: ShardResult) -> None:
    metadata = {"images": result.sums.images, "bytes": result.bytes, "blake3": result.blake3, "odd": result.odd}
    text = json.dumps(metadata | ({"area": result.sums.area} if result.sums.area else {}))
    sums = {"pixels": result.sums.pixels, "products": result.sums.products} if result.sums.images else {}
    with path.open("wb") as file:
        arrays = {"labels": result.labels, "sizes": result.sizes, "text": np.array(text), **sums, **result.boxes}
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())


def read_shard_metadata(path: Path) -> ShardResult:
    """Raises UserError, naming the file, if it is corrupt."""
    try:
        return parse_shard_metadata(path)
    except (ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: corrupt ({reason(error)}); delete it and prepare again") from error


def parse_shard_metadata(path: Path) -> ShardResult:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        text = json.loads(str(file["text"]))
        summed = (file["pixels"], file["products"]) if text["images"] else (np.zeros(0), np.zeros(0))
        sums = Sums(text["images"], *summed, text.get("area", 0))
        boxes = {name: file[name] for name in NAMES if name in file}
        return ShardResult(file["labels"], file["sizes"], sums, text["bytes"], text["blake3"], text["odd"], boxes)


def read_square(item: ImageRecord, size: int, filter_name: str) -> tuple[np.ndarray, str]:
    """Read the bytes of a record, decode, resize and crop: (3, size, size) uint8, and a note on a non-standard file.

    Raises ValueError if the file is not an image, UserError if it no longer exists.
    """
    image, note = decode_record(item)
    return resize_center_crop(image, size, filter_name).numpy(), note


def read_whole(item: ImageRecord, size: int, filter_name: str) -> tuple[np.ndarray, str, tuple[int, int]]:
    """Like `read_square`, but the whole image with a shorter side of `size`; also its original (height, width)."""
    image, note = decode_record(item)
    return resize_shorter_side(image, size, filter_name).numpy(), note, (image.shape[1], image.shape[2])


def decode_record(item: ImageRecord) -> tuple[torch.Tensor, str]:
    """Decode the bytes of a record: (3, height, width) uint8, and a note on a non-standard file."""
    try:
        data = item.location.read()
    except OSError as error:
        raise UserError(f"prepare.source: {item.name} can no longer be read ({reason(error)})") from error
    return (raw_rgb(data), "") if item.location.is_planes else decode(data)
