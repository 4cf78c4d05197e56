"""`verify`: every byte of a store against what was written when it was made."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

from alexnet_pl.data.prepare import fingerprint
from alexnet_pl.data.store import Store


def damages(store: Store) -> Iterator[str]:
    """What is not as it was, a line each: blocks of images by their numbers, and everything else by the fingerprint."""
    for split in store.splits:
        yield from damaged_blocks(store, split)
    files = [store.root / f"{split}.{kind}" for split in store.splits for kind in ("labels.npy", "names.jsonl")]
    files += [store.root / "mean.npy", store.root / "covariance.npy"]
    if missing := [path for path in files if not path.is_file()]:
        yield f"{missing[0]}: missing"
        return
    about = {key: value for key, value in store.about.items() if key != "fingerprint"}
    if fingerprint(about, store.root) != store.fingerprint:
        yield f"{store.root}: labels, names, statistics or description are not those that were written"


def damaged_blocks(store: Store, split: str) -> Iterator[str]:
    path, about = store.root / f"{split}.u8", store.about["splits"][split]
    size = about["records"] * 3 * store.size**2
    if not path.is_file() or path.stat().st_size != size:
        yield f"{path}: {path.stat().st_size if path.is_file() else 0:,} bytes, not {size:,}"
        return
    step = store.about["block"] * 3 * store.size**2
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        hashes = threads.map(lambda start: digest(path, start, step), range(0, size, step))
        for number, (found, wanted) in enumerate(
            zip(track(hashes, split, len(about["sha256"])), about["sha256"], strict=True)
        ):
            if found != wanted:
                first = number * store.about["block"]
                last = min(first + store.about["block"], about["records"]) - 1
                yield f"{path}: images {first:,} to {last:,} are damaged"


def digest(path: Path, start: int, count: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.sha256(file.read(count)).hexdigest()
