"""The last step of `prepare`: from what is known of each shard to the labels, names and description of the whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pl.data import jpeg
from alexnet_pl.data.encoding import Encoding, shard_name
from alexnet_pl.data.plan import Plan
from alexnet_pl.data.settings import Settings
from alexnet_pl.data.shard import Made, load_made, note_of
from alexnet_pl.data.source import Source
from alexnet_pl.data.statistics import save_statistics, total
from alexnet_pl.data.store import EMPTY, FORMAT
from alexnet_pl.errors import UserError


def finish(source: Source, plan: Plan, root: Path, settings: Settings) -> dict[str, Any]:
    """From what is known of each shard to the description of the whole."""
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
        about["splits"][split] = finish_split(split, plan, root, settings, odd)
    write_json(root / "odd.json", odd)
    about["unreadable"] = sum(entry["done"] == "left out" for entry in odd)
    about["odd"] = len(odd) - about["unreadable"]
    about["fingerprint"] = fingerprint(about, root)
    write_json(root / "store.json", about)
    for path in (*described_files(root, about), root / "odd.json", root / "store.json", root):
        sync(path)
    return about


def finish_split(split: str, plan: Plan, root: Path, settings: Settings, odd: list[dict[str, str]]) -> dict[str, Any]:
    paths = [root / shard_name(s.split, s.number, settings.encoding) for s in plan.shards if s.split == split]
    made = (load_made(note_of(path), settings.size) for path in paths)
    labels, sizes, hashes = [], [], []

    def taken() -> Iterator[Made]:
        for each in made:
            labels.append(each.labels)
            sizes.append(each.sizes)
            hashes.append(each.blake3)
            odd.extend(each.odd)
            yield each

    sums = total((each.sums for each in taken()), settings.size)
    images = int(sum((part != EMPTY).sum() for part in labels))
    if not images:
        raise UserError(f"data.source: none of the {plan.counts[split]:,} images of {split} could be read")
    np.save(root / f"{split}.labels.npy", np.concatenate(labels), allow_pickle=False)
    if settings.encoding.name == jpeg.NAME:
        index = np.concatenate([jpeg.places(each) for each in sizes])
        np.save(root / f"{split}.index.npy", index, allow_pickle=False)
    with (root / f"{split}.names.jsonl").open("w") as file:
        file.writelines(plan.lines(split))
    if split == "train":
        save_statistics(root, sums)
    taken_bytes = sum(path.stat().st_size for path in paths)
    return {"images": images, "records": plan.counts[split], "bytes": taken_bytes, "blake3": hashes}


def clear(root: Path, about: dict[str, Any]) -> None:
    """Delete from a whole store what is not of it: notes, the plan, and what killed runs left."""
    encoding = Encoding(**about["encoding"])
    own = {path.name for path in described_files(root, about)} | {"odd.json", "store.json"}
    for split, found in about["splits"].items():
        own |= {shard_name(split, number, encoding) for number in range(len(found["blake3"]))}
    for path in root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in own:
            path.unlink()


def described_files(root: Path, about: dict[str, Any]) -> list[Path]:
    """All but the images and the description itself."""
    kinds = ["labels.npy", "names.jsonl", *(["index.npy"] if about["encoding"]["name"] == jpeg.NAME else [])]
    return [root / f"{split}.{kind}" for split in about["splits"] for kind in kinds] + [
        root / "mean.npy",
        root / "covariance.npy",
    ]


def fingerprint(about: dict[str, Any], root: Path) -> str:
    """A hash of everything that training and testing can see of a store, and of nothing else."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path in described_files(root, about):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
