"""Extraction of features (§7.1): activations of a layer for the center view of every image, saved as features.py says.

The network is in evaluation mode. 1.28 million images of 4,096 numbers take 10.5 GB; only one block is in memory. An
unfinished folder is named `….partial`; the same command resumes.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from blake3 import blake3
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.data.loading.streaming import DEFAULT_OPTIONS, batch_pipeline
from alexnet_pl.data.store.split import Split
from alexnet_pl.errors import UserError
from alexnet_pl.files import check_space
from alexnet_pl.json_records import Count, read_record, to_json, write_json
from alexnet_pl.models.activations import layer_activations, learned_layers
from alexnet_pl.retrieval.features import FeaturesInfo, FeatureSource
from alexnet_pl.training.classifier import Classifier

PIXELS_SIDE = 32  # as in Krizhevsky & Hinton (2011)
MOST_NUMBERS = 9216  # maximum features of an image, the number of inputs of fc6
IMAGES_PER_BLOCK = 1024  # progress is saved after each block; at least one batch

LayerReader = Callable[[Classifier, Tensor], Tensor]
"""(N, 3, crop, crop) view → (N, width)."""


def read_fc7(module: Classifier, view: Tensor) -> Tensor:
    return module.net.features(module.in_memory_format(view))  # type: ignore[operator]


def read_pixels(module: Classifier, view: Tensor) -> Tensor:
    """Center view at 32 × 32 pixels minus the mean, for auto-encoders on raw pixels (§7.1's comparison)."""
    return F.interpolate(view, size=(PIXELS_SIDE, PIXELS_SIDE), mode="bilinear", antialias=True).flatten(1)


def read_layer(module: Classifier, view: Tensor, layer: str) -> Tensor:
    """Activations of any layer; those of a convolution are average-pooled to at most `MOST_NUMBERS` numbers."""
    (found,) = layer_activations(module.net, module.in_memory_format(view), [layer]).values()
    if found.dim() == 2:
        return found
    side = min(found.shape[-1], math.isqrt(MOST_NUMBERS // found.shape[1]))
    return F.adaptive_avg_pool2d(found, side).flatten(1)


def find_reader(module: Classifier, layer: str, key: str) -> LayerReader:
    """Raises UserError if the network has no such layer. `key`: config key of `layer`."""
    if layer == "fc7" and hasattr(module.net, "features"):  # AlexNet's, also where fc7 has no module of that name
        return read_fc7
    if layer == "pixels":
        return read_pixels
    if layer not in (known := learned_layers(module.net)):
        raise UserError(f"{key}={layer}: one of {', '.join(known)}, pixels")
    return partial(read_layer, layer=layer)


class Extractor:
    """Function from uint8 images (N, 3, size, size) to features (N, width) float32 of their center view.

    Raises UserError for an unknown layer. `key`: config key that `layer` is from.
    """

    def __init__(
        self,
        module: Classifier,
        layer: str,
        device: torch.device,
        precision: str = "32-true",
        key: str = "features.layer",
    ) -> None:
        self.read = find_reader(module, layer, key)
        self.module, self.layer, self.device = module.to(device).eval(), layer, device
        self.precision = precision

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        (view,) = self.module.augment.views(images.to(self.device), "center")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            return self.read(self.module, view).float()

    @cached_property
    def width(self) -> int:
        size = self.module.augment.size
        return self(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]


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


def extract_split(
    folder: Path,
    extractor: Extractor,
    split: Split,
    source: FeatureSource,
    batch_size: int,
    share: Share | None = None,
) -> None:
    """Extract the features of all images of `split` into `folder`; resume if an earlier call was interrupted.

    Each of several processes extracts its share.
    """
    share = share or Share()
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
        for block in extract_blocks(extractor, stream, step):
            write_features(partial, rows.start + done, block)
            done += len(block)
            digest.update(block.tobytes())
            write_json(share.progress_path(partial), {"rows": done, "blake3": digest.hexdigest()})
            bar.update(task, completed=done)


def finish(partial: Path, folder: Path, split: Split) -> None:
    np.save(partial / "labels.npy", split.labels)
    (partial / "names.jsonl").write_text("".join(f"{json.dumps(name)}\n" for name in split.names), encoding="utf-8")
    for path in partial.glob("done*"):
        path.unlink()
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def open_partial(partial: Path, info: FeaturesInfo) -> None:
    """Create the partial folder. An existing one is kept if it has the same `info`, else removed."""
    try:
        if read_record(partial / "about.json", FeaturesInfo, "") == info:
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
    np.lib.format.open_memmap(partial / "features.npy", "w+", np.float16, shape)
    write_json(partial / "about.json", to_json(info))


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
    digest, values = blake3((partial / "about.json").read_bytes()), np.load(partial / "features.npy", mmap_mode="r")
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
    path = partial / "features.npy"
    first_row = np.load(path, mmap_mode="r").offset  # type: ignore[attr-defined]
    with path.open("r+b") as file:  # not through a memory map: a full disk would kill the process with SIGBUS
        file.seek(first_row + start * block[0].nbytes)
        file.write(block.tobytes())
        file.flush()
        os.fsync(file.fileno())  # before the progress file is updated
