"""`prepare`: a copy of images → a store (§2's fixed-size images, the mean image, and §5.1's colour covariance)."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from alexnet_pl.data.source import Item, Source
from alexnet_pl.data.store import EMPTY, FORMAT
from alexnet_pl.errors import UserError

BLOCK = 256  # images a thread takes at a time: 50 MB of 256 × 256 pixels

Done = TypeVar("Done")
Reader = Callable[[Item], tuple[np.ndarray, str]]
"""An item → its (3, size, size) uint8 image and what was odd about the file; ValueError where there is no image."""


class Sums(NamedTuple):
    """Sums over images of pixel values, (3, size, size), and of products of channels, (3, 3).

    Whole numbers, so that no order of adding changes a bit.
    """

    pixels: np.ndarray
    products: np.ndarray


class Block(NamedTuple):
    """What came of a run of images."""

    start: int
    labels: np.ndarray
    sha256: str
    odd: list[dict[str, str]]


def prepare(source: Source, root: Path, name: str, size: int, settings: dict[str, Any], read: Reader) -> dict[str, Any]:
    """Write a store at `root` and return its description. Nothing is at `root` until all of it is on the disk.

    Raises UserError where `root` is taken, the disk is too small or fills up, or a split has no image that reads.
    """
    root = root.absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"data.root: {root} is there and holds no store; give an empty or a new folder")
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    check_room(partial, sum(map(len, source.splits.values())) * 3 * size**2)
    try:
        partial.mkdir(parents=True)
        about = write(source, partial, name, size, settings, read)
        if root.exists():
            root.rmdir()
        partial.rename(root)
    except OSError as error:
        raise UserError(f"data.root: {root}: {why(error)}; nothing was kept") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return about


def why(error: OSError) -> str:
    return "no space left on the disk" if error.errno == errno.ENOSPC else str(error)


def check_room(partial: Path, needed: int) -> None:
    there = next(parent for parent in partial.absolute().parents if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(f"data.root: {there} has {free / 1e9:.1f} GB free, the store takes {needed / 1e9:.1f} GB")


def write(source: Source, root: Path, name: str, size: int, settings: dict[str, Any], read: Reader) -> dict[str, Any]:
    about: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "size": size,
        "settings": settings,
        "classes": [list(pair) for pair in source.classes],
        "ilsvrc_ids": source.numbers,
        "block": BLOCK,
        "splits": {},
    }
    odd: list[dict[str, str]] = []
    for split, items in source.splits.items():
        blocks, sums = write_records(root / f"{split}.u8", items, size, read, split)
        labels = np.concatenate([block.labels for block in blocks])
        count = int((labels != EMPTY).sum())
        if not count:
            raise UserError(f"data.source: none of the {len(items)} images of {split} could be read")
        odd += [entry for block in blocks for entry in block.odd]
        save(root / f"{split}.labels.npy", labels)
        (root / f"{split}.names.jsonl").write_text("".join(json.dumps(item.name) + "\n" for item in items))
        about["splits"][split] = {"images": count, "records": len(items), "sha256": [block.sha256 for block in blocks]}
        if split == "train":
            save_statistics(root, sums, count)
    write_json(root / "odd.json", odd)
    about["unreadable"] = sum(entry["done"] == "left out" for entry in odd)
    about["odd"] = len(odd) - about["unreadable"]
    about["fingerprint"] = fingerprint(about, root)
    write_json(root / "store.json", about)
    for path in root.iterdir():
        sync(path)
    return about


def write_records(path: Path, items: list[Item], size: int, read: Reader, split: str) -> tuple[list[Block], Sums]:
    """Decode by threads, which suffices because the decoder lets go of the interpreter; show how far it is."""
    total = Sums(np.zeros((3, size, size), np.int64), np.zeros((3, 3), np.int64))
    with path.open("wb") as file:
        file.truncate(len(items) * 3 * size**2)
    starts = range(0, len(items), BLOCK)

    def work(start: int) -> tuple[Block, Sums]:
        return write_block(path, items, start, size, read)

    blocks = []
    with progress() as bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        task = bar.add_task(f"prepare {split:<5}", total=len(items), rate="-")
        for block, sums in bounded(threads, work, iter(starts)):
            blocks.append(block)
            for own, new in zip(total, sums, strict=True):
                own += new
            rate = (bar.tasks[task].completed + len(block.labels)) / (bar.tasks[task].elapsed or 1)
            bar.update(task, advance=len(block.labels), rate=f"{rate:,.0f}")
    return sorted(blocks, key=lambda block: block.start), total


def bounded(threads: ThreadPoolExecutor, work: Callable[[int], Done], starts: Iterator[int]) -> Iterator[Done]:
    """`threads.map`, in any order, with no more than two tasks a thread in memory; the first error ends it."""
    pending: set[Future[Done]] = set()
    try:
        for start in starts:
            pending.add(threads.submit(work, start))
            if len(pending) >= 2 * (os.cpu_count() or 1):
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in pending)
    finally:
        for future in pending:
            future.cancel()


def write_block(path: Path, items: list[Item], start: int, size: int, read: Reader) -> tuple[Block, Sums]:
    run = items[start : start + BLOCK]
    records = np.zeros((len(run), 3, size, size), np.uint8)
    labels = np.full(len(run), EMPTY, np.int32)
    odd = []
    for i, item in enumerate(run):
        try:
            records[i], oddity = read(item)
        except ValueError as error:
            odd.append({"name": item.name, "what": str(error), "done": "left out"})
            continue
        labels[i] = item.label
        if oddity:
            odd.append({"name": item.name, "what": oddity, "done": "converted to RGB"})
    with path.open("r+b") as file:
        file.seek(start * 3 * size**2)
        file.write(records.data)
    sums = Sums(records.sum(0, dtype=np.int64), products(records))
    return Block(start, labels, hashlib.sha256(records.data).hexdigest(), odd), sums


def products(records: np.ndarray) -> np.ndarray:
    """Σ RGBᵀRGB over all pixels, (3, 3) int64. Each image's float64 sums are whole numbers below 2⁵³, hence exact."""
    total = np.zeros((3, 3), np.int64)
    for record in records:
        flat = record.reshape(3, -1).astype(np.float64)
        total += (flat @ flat.T).astype(np.int64)
    return total


def save_statistics(root: Path, sums: Sums, count: int) -> None:
    total = count * sums.pixels[0].size
    mean = sums.pixels.reshape(3, -1).sum(1) / total
    save(root / "mean.npy", sums.pixels / count)
    save(root / "covariance.npy", sums.products / total - np.outer(mean, mean))


def fingerprint(about: dict[str, Any], root: Path) -> str:
    """A hash of everything that training and testing can see of a store, and of nothing else."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for split in about["splits"]:
        digest.update((root / f"{split}.labels.npy").read_bytes() + (root / f"{split}.names.jsonl").read_bytes())
    for name in ("mean.npy", "covariance.npy"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def save(path: Path, array: np.ndarray) -> None:
    np.save(path, array, allow_pickle=False)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def progress() -> Progress:
    """A bar with images done, images a second and the time left."""
    rate = TextColumn("{task.fields[rate]} images/s")
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
