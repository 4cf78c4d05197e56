"""Last step of `prepare`: merge the metadata of all shards into the store's labels, names, statistics and manifest."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pl.data.prepare.box_records import save_box_arrays
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.plan import Plan
from alexnet_pl.data.prepare.shard import ShardResult, metadata_path, read_shard_metadata
from alexnet_pl.data.prepare.statistics import add_sums, save_no_statistics, save_statistics
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.store import jpeg
from alexnet_pl.data.store.encoding import shard_name
from alexnet_pl.data.store.integrity import DESCRIPTION, checksum, compute_fingerprint, list_small_files
from alexnet_pl.data.store.manifest import FORMAT
from alexnet_pl.data.store.raw import check_size
from alexnet_pl.data.store.split import EMPTY
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import write_json
from alexnet_pl.progress import track

NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
FEW, SMALL_SHARE = 10, 0.001  # a split may have this many unreadable images: the larger of the number and the share


def finalize(source: DatasetListing, plan: Plan, root: Path, settings: StoreSettings) -> dict[str, Any]:
    """Merge the metadata of all shards, write the store's remaining files, and return its manifest.

    Raises UserError if many images could not be read, unless `settings.allow_incomplete`.
    """
    splits, irregular = write_metadata(plan, root, settings)
    if not settings.allow_incomplete:
        check_readable(splits, irregular, root)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": settings.name,
        "size": settings.size,
        "settings": settings.how,
        "encoding": settings.encoding.describe(),
        "classes": [list(pair) for pair in source.classes],
        "ilsvrc_ids": source.numbers,
        "shard": settings.shard,
        "splits": splits,
        "unreadable": sum(entry["done"] == "left out" for entry in irregular),
        "odd": sum(entry["done"] == "converted to RGB" for entry in irregular),
    }
    manifest["fingerprint"] = compute_fingerprint(manifest, root)
    manifest["files"] = {name: checksum(root / name) for name in list_small_files(manifest)}
    write_json(root / DESCRIPTION, manifest)
    for name in (*list_small_files(manifest), DESCRIPTION):
        fsync(root / name)
    fsync_folder(root)
    return manifest


def write_metadata(plan: Plan, root: Path, settings: StoreSettings) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Write all files of a store except shards and store.json; return (splits for store.json, content of odd.json)."""
    irregular: list[dict[str, str]] = []
    splits = {split: finalize_split(split, plan, root, settings, irregular) for split in plan.counts}
    if "train" not in splits:
        save_no_statistics(root, settings.size)
    write_json(root / "odd.json", irregular)
    return splits, irregular


def finalize_split(
    split: str, plan: Plan, root: Path, settings: StoreSettings, irregular: list[dict[str, str]]
) -> dict[str, Any]:
    paths = [root / shard_name(s.split, s.number, settings.encoding) for s in plan.shards if s.split == split]
    labels, sizes, hashes, boxes = [], [], [], []

    def read_results() -> Iterator[ShardResult]:
        for path in track(paths, f"merge {split:<5}", len(paths)):
            result = read_shard_metadata(metadata_path(path))
            check_size(path, result.bytes, "delete it and prepare again")  # a copied file may be truncated
            labels.append(result.labels)
            sizes.append(result.sizes)
            hashes.append(result.blake3)
            boxes.append(result.boxes)
            irregular.extend(result.odd)
            yield result

    sums = add_sums(each.sums for each in read_results())
    images = int(sum((part != EMPTY).sum() for part in labels))
    if not images:
        raise UserError(f"prepare.source: none of the {plan.counts[split]:,} images of {split} could be read")
    np.save(root / f"{split}.labels.npy", np.concatenate(labels), allow_pickle=False)
    if settings.encoding.is_jpeg:
        index = np.concatenate([jpeg.compute_byte_ranges(each) for each in sizes])
        np.save(root / f"{split}.index.npy", index, allow_pickle=False)
    with (root / f"{split}.names.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(plan.name_lines(split))
    if split == "train":
        save_statistics(root, sums)
    size = sum(path.stat().st_size for path in paths)
    info = {"images": images, "records": plan.counts[split], "bytes": size, "blake3": hashes}
    return info | ({"boxes": save_box_arrays(root, split, boxes)} if settings.encoding.is_whole else {})


def check_readable(splits: Mapping[str, Any], irregular: list[dict[str, str]], root: Path) -> None:
    """Raise UserError if so many images of a split could not be read that the copy must be corrupt."""
    first = next((f"{entry['name']}: {entry['what']}" for entry in irregular if entry["done"] == "left out"), "")
    for split, info in splits.items():
        left_out = info["records"] - info["images"]
        if left_out > max(FEW, info["records"] * SMALL_SHARE):
            raise UserError(
                f"prepare.source: {left_out:,} of {info['records']:,} images of {split} cannot be read ({first}, …); "
                f"get the copy again and delete {root}, or leave them out with prepare.allow_incomplete=true"
            )


def remove_leftovers(root: Path) -> None:
    """Delete the temporary files of `prepare` from a complete store: shard metadata, listings, locks, the plan last.

    The plan tells the next `prepare` that files are left over.
    """
    for listing in root.glob("*listing-*"):
        if not listing.is_symlink():
            shutil.rmtree(listing, ignore_errors=True)
    for pattern in ("*.npz", "*.tmp", "plan-*.json", "plan.lock", "lock", "users", "plan.json"):
        for path in root.glob(pattern):
            path.unlink(missing_ok=True)  # another process may do the same


def fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, where the file system can: some of SMB, FUSE and containers cannot."""
    try:
        fsync(folder)
    except OSError as error:
        if error.errno not in NOT_FOR_FOLDERS:
            raise
