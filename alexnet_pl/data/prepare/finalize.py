"""Last step of `prepare`: merge the metadata of all shards into the labels, names and manifest of the store."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pl.data.prepare.box_records import save_boxes
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.plan import Plan
from alexnet_pl.data.prepare.shard import ShardResult, metadata_path, read_shard_metadata
from alexnet_pl.data.prepare.statistics import save_statistics, total
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.store import jpeg
from alexnet_pl.data.store.encoding import shard_name
from alexnet_pl.data.store.integrity import checksum, fingerprint, small_files
from alexnet_pl.data.store.split import EMPTY
from alexnet_pl.data.store.store import FORMAT
from alexnet_pl.errors import UserError
from alexnet_pl.files import write_json


def finalize(source: DatasetListing, plan: Plan, root: Path, settings: StoreSettings) -> dict[str, Any]:
    """Merge the metadata of all shards into the manifest and write the store's remaining files."""
    about: dict[str, Any] = {
        "format": FORMAT,
        "name": settings.name,
        "size": settings.size,
        "settings": settings.how,
        "encoding": settings.encoding.describe(),
        "classes": [list(pair) for pair in source.classes],
        "ilsvrc_ids": source.numbers,
        "shard": settings.shard,
        "splits": {},
    }
    odd: list[dict[str, str]] = []
    for split in plan.counts:
        about["splits"][split] = finalize_split(split, plan, root, settings, odd)
    write_json(root / "odd.json", odd)
    about["unreadable"] = sum(entry["done"] == "left out" for entry in odd)
    about["odd"] = len(odd) - about["unreadable"]
    about["fingerprint"] = fingerprint(about, root)
    about["files"] = {name: checksum(root / name) for name in small_files(about)}
    write_json(root / "store.json", about)
    for name in (*small_files(about), "store.json", "."):
        sync(root / name)
    return about


def finalize_split(
    split: str, plan: Plan, root: Path, settings: StoreSettings, odd: list[dict[str, str]]
) -> dict[str, Any]:
    paths = [root / shard_name(s.split, s.number, settings.encoding) for s in plan.shards if s.split == split]
    labels, sizes, hashes, boxes = [], [], [], []

    def taken() -> Iterator[ShardResult]:
        for path in paths:
            each = read_shard_metadata(metadata_path(path))
            check_size(path, each.bytes)
            labels.append(each.labels)
            sizes.append(each.sizes)
            hashes.append(each.blake3)
            boxes.append(each.boxes)
            odd.extend(each.odd)
            yield each

    sums = total(each.sums for each in taken())
    images = int(sum((part != EMPTY).sum() for part in labels))
    if not images:
        raise UserError(f"prepare.source: none of the {plan.counts[split]:,} images of {split} could be read")
    np.save(root / f"{split}.labels.npy", np.concatenate(labels), allow_pickle=False)
    if settings.encoding.is_jpeg:
        index = np.concatenate([jpeg.byte_ranges(each) for each in sizes])
        np.save(root / f"{split}.index.npy", index, allow_pickle=False)
    with (root / f"{split}.names.jsonl").open("w") as file:
        file.writelines(plan.lines(split))
    if split == "train":
        save_statistics(root, sums)
    taken_bytes = sum(path.stat().st_size for path in paths)
    about = {"images": images, "records": plan.counts[split], "bytes": taken_bytes, "blake3": hashes}
    return about | ({"boxes": save_boxes(root, split, boxes)} if settings.encoding.is_whole else {})


def check_size(path: Path, wanted: int) -> None:
    """A shard that another machine made may have come here by half."""
    if (found := path.stat().st_size) != wanted:
        raise UserError(f"{path}: {found:,} bytes, not {wanted:,}; delete it and prepare again")


def remove_leftovers(root: Path) -> None:
    """Delete from a whole store what its making left beside it, and nothing else: the plan last, by which the next
    `prepare` knows that something was left."""
    for listing in root.glob("listing-*"):
        if not listing.is_symlink():
            shutil.rmtree(listing, ignore_errors=True)
    for pattern in ("*.npz", "*.tmp", "plan-*.json", "plan.lock", "lock", "users", "plan.json"):
        for path in root.glob(pattern):
            path.unlink(missing_ok=True)  # another process may do the same


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
