"""One shard of a store: a file of images, and beside it, until the store is whole, what is to be known of them.

The second is written last, and under its own name only when it is whole and the first is on the disk: where it is, the
shard is done. A run that was killed goes on from the shards that are done.
"""

import json
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from alexnet_pl.data.checksum import Checksum
from alexnet_pl.data.encoding import Encoding
from alexnet_pl.data.source import Item
from alexnet_pl.data.statistics import Summing, Sums
from alexnet_pl.data.store import EMPTY

Reader = Callable[[Item], tuple[np.ndarray, str]]
"""An item → its (3, size, size) uint8 image and what was odd about the file; ValueError where there is no image."""


class Made(NamedTuple):
    """What came of a run of images: labels, bytes of each, sums over those that count, size and hash of the file, odd
    files."""

    labels: np.ndarray
    sizes: np.ndarray
    sums: Sums
    bytes: int
    blake3: str | None
    odd: list[dict[str, str]]


class Hashed:
    """A file that is hashed as it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.checksum = file, Checksum()

    def write(self, data: Any) -> int:
        self.checksum.update(data)
        return self.file.write(data)


def write_shard(
    path: Path,
    items: Iterable[Item],
    start: int,
    size: int,
    encoding: Encoding,
    read: Reader,
    count: bool,
    told: Callable[[], None] = lambda: None,
) -> Made:
    """Write `items`, from image `start` of their split, to `path`; `count`: sum them up for the statistics, too."""
    labels, sizes, odd, summing = [], [], [], Summing(size)
    with path.open("wb") as file:
        hashed = Hashed(file)
        writer = encoding.writer(hashed, size)  # type: ignore[arg-type]
        for number, item in enumerate(items, start):
            image, entry = square(item, read)
            if entry:
                odd.append(entry)
            if image is not None:
                image = np.ascontiguousarray(image)  # as planes: what is written, and soonest summed up
                if count:
                    summing.add(image)
            labels.append(EMPTY if image is None else item.label)
            sizes.append(writer.add(number, item.label, image))
            told()
        writer.finish()
        file.flush()
        os.fsync(file.fileno())
    kinds = np.array(labels, np.int32), np.array(sizes, np.int64)
    return Made(*kinds, summing.sums, path.stat().st_size, hashed.checksum.hexdigest(), odd)


def square(item: Item, read: Reader) -> tuple[np.ndarray | None, dict[str, str] | None]:
    """(image or None, what is to be said of it or None)."""
    try:
        image, what = read(item)
    except ValueError as error:
        return None, {"name": item.name, "what": str(error), "done": "left out"}
    said = {"name": item.name, "what": what, "done": "converted to RGB"} if what else None
    return image, said


def make_shard(path: Path, *args: Any) -> None:
    """`write_shard` under a name of this process's own, then what is to be known of it, then both by their names."""
    own = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    note = own.with_name(f"{own.name}.npz")
    try:
        made = write_shard(own, *args)
        save_made(note, made)
        own.rename(path)
        note.rename(note_of(path))
    finally:
        own.unlink(missing_ok=True)
        note.unlink(missing_ok=True)


def note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.npz")


def save_made(path: Path, made: Made) -> None:
    text = json.dumps({"images": made.sums.images, "bytes": made.bytes, "blake3": made.blake3, "odd": made.odd})
    sums = {"pixels": made.sums.pixels, "products": made.sums.products} if made.sums.images else {}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, labels=made.labels, sizes=made.sizes, text=np.array(text), **sums)
        file.flush()
        os.fsync(file.fileno())


def load_made(path: Path, size: int) -> Made:
    with np.load(path, allow_pickle=False) as file:
        text = json.loads(str(file["text"]))
        sums = Sums(text["images"], file["pixels"], file["products"]) if text["images"] else Summing(size).sums
        return Made(file["labels"], file["sizes"], sums, text["bytes"], text["blake3"], text["odd"])
