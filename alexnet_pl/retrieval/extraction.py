"""Extraction of the features of all images of a split (§7.1) into the files that features.py describes.

1.28 million images of 4,096 numbers take 10.5 GB; only one block is in memory. An unfinished folder is named
`….partial`; the same command resumes.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from blake3 import blake3
from rich.progress import Progress
from torch import Tensor

from alexnet_pl.data.loading.streaming import DEFAULT_OPTIONS, batch_pipeline
from alexnet_pl.data.store.split import Split
from alexnet_pl.errors import UserError
from alexnet_pl.files import check_space
from alexnet_pl.json_records import Count, read_record, to_json, write_json
from alexnet_pl.progress import ProgressLines
from alexnet_pl.retrieval.extractor import Extractor
from alexnet_pl.retrieval.features import ABOUT, LABELS, NAMES, VALUES, FeaturesInfo, FeatureSource

IMAGES_PER_BLOCK = 1024  # progress is saved after each block; at least one batch


@dataclass(frozen=True)
class SavedRows:
    """Record in done.json: number of `rows` that are saved, and `blake3`, the hash of about.json and these rows."""

    rows: Count
    blake3: str


class Share(NamedTuple):
    """Part of a split that a process extracts: the `rank`-th of `world` ranges. `barrier`: waits for all processes;
    `broadcast`: returns the first process's value."""

    rank: int = 0
    world: int = 1
    barrier: Callable[[], None] = lambda: None
    broadcast: Callable[[bool], bool] = lambda value: value

    def rows(self, count: int) -> range:
        return range(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def progress_path(self, partial: Path) -> Path:
        """File with the number of rows of this share that are done."""
        return partial / ("done.json" if self.world == 1 else f"done-{self.rank}-of-{self.world}.json")


ALONE = Share()
"""All images: that of a single process."""


def extract_split(
    folder: Path,
    extractor: Extractor,
    split: Split,
    source: FeatureSource,
    batch_size: int,
    share: Share = ALONE,
) -> None:
    """Extract the features of all images of `split` into `folder`; resume if an earlier call was interrupted.

    Each of several processes extracts its share.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    info = FeaturesInfo(
        layer=extractor.layer,
        width=extractor.width,
        images=len(split),
        precision=extractor.precision,
        dataset=source.dataset,
        checkpoint=source.checkpoint,
    )
    if share.rank == 0:
        open_partial(partial, info)
    share.barrier()
    extract_share(partial, extractor, split, batch_size, share)
    share.barrier()
    if share.rank == 0:
        finish(partial, folder, split)
    share.barrier()


def extract_share(partial: Path, extractor: Extractor, split: Split, batch_size: int, share: Share) -> None:
    rows = share.rows(len(split))
    done, digest = read_done(partial, share, rows)
    step = max(IMAGES_PER_BLOCK // batch_size, 1) * batch_size
    starts = range(rows.start + done, rows.stop, batch_size)
    batches = (np.arange(start, min(start + batch_size, rows.stop)) for start in starts)
    stream = batch_pipeline(split, extractor.device, DEFAULT_OPTIONS)(split, batches, batch_size, extractor.device)
    with Progress(disable=share.rank > 0) as bar:
        task = bar.add_task(partial.stem, total=len(rows), completed=done)
        lines = ProgressLines(partial.stem, len(rows), done)
        for block in extract_blocks(extractor, stream, step):
            write_features(partial, rows.start + done, block)
            done += len(block)
            digest.update(block.tobytes())
            write_json(share.progress_path(partial), {"rows": done, "blake3": digest.hexdigest()})
            bar.update(task, completed=done)
            if share.rank == 0:
                lines.update(done)


def finish(partial: Path, folder: Path, split: Split) -> None:
    np.save(partial / LABELS, split.labels)
    (partial / NAMES).write_text("".join(f"{json.dumps(name)}\n" for name in split.names), encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    for path in folder.glob("done*"):  # not before: a process killed until here continues with all rows
        path.unlink()


def open_partial(partial: Path, info: FeaturesInfo) -> None:
    """Create the partial folder. An existing one is kept if it has the same `info`, else removed."""
    try:
        if read_record(partial / ABOUT, FeaturesInfo, "") == info:
            return
    except UserError:
        pass
    if partial.exists():
        shutil.rmtree(partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    needed = info.images * info.width * 2  # float16; the file is sparse, so its disk would fill up hours later
    check_space(partial.parent, needed, "features", "free some space, or take a layer with fewer numbers")
    partial.mkdir()
    shape = info.images, info.width
    np.lib.format.open_memmap(partial / VALUES, "w+", np.float16, shape)
    write_json(partial / ABOUT, to_json(info))


def read_done(partial: Path, share: Share, rows: range) -> tuple[int, Any]:
    """Number of `rows` of a share that are saved, and the BLAKE3 hash of about.json and these; 0 if they were changed
    since."""
    try:
        progress = read_record(share.progress_path(partial), SavedRows, "")
        digest = hash_rows(partial, rows[: progress.rows])
        if progress.rows <= len(rows) and progress.blake3 == digest.hexdigest():
            return progress.rows, digest
    except UserError:
        pass
    return 0, hash_rows(partial, rows[:0])


def hash_rows(partial: Path, rows: range) -> Any:
    digest, values = blake3((partial / ABOUT).read_bytes()), np.load(partial / VALUES, mmap_mode="r")
    for start in range(rows.start, rows.stop, IMAGES_PER_BLOCK):
        digest.update(values[start : min(start + IMAGES_PER_BLOCK, rows.stop)].tobytes())
    return digest


def extract_blocks(extractor: Extractor, batches: Iterator[tuple[Tensor, Tensor]], step: int) -> Iterator[np.ndarray]:
    """Yield features of `step` images at a time, fewer at the end: (n, width) float16."""
    pending: list[Tensor] = []
    for images, labels in batches:
        pending.append(extractor(images)[: len(labels)].half().cpu())
        if sum(map(len, pending)) >= step:
            yield torch.cat(pending).numpy()
            pending = []
    if pending:
        yield torch.cat(pending).numpy()


def write_features(partial: Path, start: int, block: np.ndarray) -> None:
    """Write a block. Raises UserError if values overflow float16."""
    if not np.isfinite(block).all():
        raise UserError(
            f"ckpt_path: activations from image {start:,} on are not finite in float16; use another checkpoint"
        )
    path = partial / VALUES
    first_row = np.load(path, mmap_mode="r").offset  # type: ignore[attr-defined]
    with path.open("r+b") as file:  # not through a memory map: a full disk would kill the process with SIGBUS
        file.seek(first_row + start * block[0].nbytes)
        file.write(block.tobytes())
        file.flush()
        os.fsync(file.fileno())  # before the progress file is updated
