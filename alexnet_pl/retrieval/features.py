"""Features of all images of a split (§7.1; §6.1 of 2012): by default activations of fc7, which Figure 4 compares.

`features` writes `features/<split>-<layer>/` in the run folder:

    features.npy   (images, width) float16 in the order of the split; open with numpy.load(…, mmap_mode="r")
    labels.npy     (images,) int64 class index; −1 if unknown
    names.jsonl    one JSON string per image: its name in the store
    about.json     checkpoint, store, split and layer of the features

They are computed on the centre view, with the network in evaluation mode. 1.28 million images of 4,096 numbers take
10.5 GB; only one block is in memory. An unfinished folder is named `….partial`; the same command resumes.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.data.loading.streaming import DEFAULT_OPTIONS, batch_pipeline
from alexnet_pl.data.store.split import Split
from alexnet_pl.errors import UserError, reason
from alexnet_pl.files import Count, JsonObject, read_record, to_json, write_json
from alexnet_pl.models.activations import layer_activations, learned_layers
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo
from alexnet_pl.training.classifier import Classifier

PIXELS_SIDE = 32  # as in Krizhevsky & Hinton (2011)
MOST_NUMBERS = 9216  # maximum features of an image, the number of inputs of fc6
IMAGES_PER_BLOCK = 1024  # progress is saved after each block; at least one batch

LayerReader = Callable[[Classifier, Tensor], Tensor]
"""(N, 3, crop, crop) view → (N, width)."""


def read_fc7(module: Classifier, view: Tensor, key: str) -> Tensor:
    if not hasattr(module.net, "features"):
        raise UserError(f"{key}=fc7: this run's network has no such layer; use {key}=pixels")
    return module.net.features(module.in_memory_format(view))  # type: ignore[operator]


def read_pixels(module: Classifier, view: Tensor) -> Tensor:
    """Centre view at 32 × 32 pixels minus the mean, for auto-encoders on raw pixels (§7.1's comparison)."""
    return F.interpolate(view, size=(PIXELS_SIDE, PIXELS_SIDE), mode="bilinear", antialias=True).flatten(1)


def read_layer(module: Classifier, view: Tensor, layer: str) -> Tensor:
    """Activations of any layer; those of a convolution are average-pooled to at most `MOST_NUMBERS` numbers."""
    (found,) = layer_activations(module.net, module.in_memory_format(view), [layer]).values()
    if found.dim() == 2:
        return found
    side = min(found.shape[-1], math.isqrt(MOST_NUMBERS // found.shape[1]))
    return F.adaptive_avg_pool2d(found, side).flatten(1)


def find_reader(module: Classifier, layer: str, key: str) -> LayerReader:
    """Raises UserError if the network has no such layer; for fc7 the reader does. `key`: config key of `layer`."""
    if layer == "fc7":
        return partial(read_fc7, key=key)
    if layer == "pixels":
        return read_pixels
    if layer not in (known := learned_layers(module.net)):
        raise UserError(f"{key}={layer}: one of {', '.join(known)}, pixels")
    return partial(read_layer, layer=layer)


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """Images and network that features were computed from."""

    dataset: DatasetInfo
    checkpoint: CheckpointInfo


@dataclass(frozen=True, kw_only=True)
class FeaturesInfo(FeatureSource):
    """Record in about.json. `width`: numbers per image; `precision`: Lightning's name of the network's precision."""

    layer: str
    width: Count
    images: Count
    precision: str = "32-true"


class Extractor:
    """Function from uint8 images (N, 3, size, size) to features (N, width) float32 of their centre view.

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


def features_dir(run: Path, split: str, layer: str = "fc7") -> Path:
    return run / "features" / f"{split}-{layer}"


class Share(NamedTuple):
    """Part of a split that a process extracts: the `rank`-th of `world` ranges. `barrier`: waits for all processes."""

    rank: int = 0
    world: int = 1
    barrier: Callable[[], None] = lambda: None

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
    rows, done = share.rows(len(split)), read_done(share.progress_path(partial))
    step = max(IMAGES_PER_BLOCK // batch_size, 1) * batch_size
    starts = range(rows.start + done, rows.stop, batch_size)
    batches = (np.arange(start, min(start + batch_size, rows.stop)) for start in starts)
    stream = batch_pipeline(split, extractor.device, DEFAULT_OPTIONS)(split, batches, batch_size, extractor.device)
    with Progress(disable=share.rank > 0) as bar:
        task = bar.add_task(partial.stem, total=len(rows), completed=done)
        for block in extract_blocks(extractor, stream, step):
            write_features(partial, rows.start + done, block)
            done += len(block)
            write_json(share.progress_path(partial), done)
            bar.update(task, completed=done)


def finish(partial: Path, folder: Path, split: Split) -> None:
    np.save(partial / "labels.npy", split.labels)
    (partial / "names.jsonl").write_text("".join(f"{json.dumps(name)}\n" for name in split.names))
    for path in partial.glob("done*.json"):
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
    partial.mkdir(parents=True)
    shape = info.images, info.width
    np.lib.format.open_memmap(partial / "features.npy", "w+", np.float16, shape)
    write_json(partial / "about.json", to_json(info))


def read_done(path: Path) -> int:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return 0


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


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Raise ValueError unless all labels are class indices or −1. `classes`: number of classes, 0 if unknown."""
    if labels.ndim != 1 or labels.dtype.kind != "i":
        raise ValueError(f"labels of type {labels.dtype} in {labels.ndim} dimensions")
    if len(labels) and not -1 <= labels.min() <= labels.max() < (classes or np.inf):
        raise ValueError(f"labels from {labels.min()} to {labels.max()}, of {classes} classes")


class Features:
    """Finished features of a split, memory-mapped. Raises UserError, naming what is missing or truncated."""

    values: np.ndarray  # (images, width) float16

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "about.json").is_file():
            unfinished = folder.with_name(f"{folder.name}.partial").exists()
            state = "is unfinished" if unfinished else "does not exist"
            split, _, layer = folder.name.rpartition("-")
            how = f"features -c RUN features.split={split} features.layer={layer}"
            raise UserError(f"{folder}: {state}; {'resume with' if unfinished else 'make it with'} {how}")
        try:
            self.info = read_record(folder / "about.json", FeaturesInfo, "make the features again")
            self.values = np.load(folder / "features.npy", mmap_mode="r")
            self.labels = np.load(folder / "labels.npy")
            check_labels(self.labels, self.info.dataset.classes)
            shape = self.info.images, self.info.width
            if self.values.shape != shape or self.values.dtype != np.float16 or len(self.labels) != shape[0]:
                raise ValueError(f"{self.values.shape} numbers and {len(self.labels)} labels, not {shape}")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"{folder}: corrupt or truncated ({reason(error)}); make them again with `features`"
            ) from error

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        return self.values.shape[1]

    @property
    def identity(self) -> JsonObject:
        """Checkpoint, store, split, layer and shape of these features; the same for a copy."""
        return {
            "checkpoint": self.info.checkpoint.sha256,
            "fingerprint": self.info.dataset.fingerprint,
            "split": self.info.dataset.split,
            "layer": self.info.layer,
            "images": len(self),
            "width": self.width,
        }

    @cached_property
    def names(self) -> list[str]:
        path = self.folder / "names.jsonl"
        try:
            names = [json.loads(line) for line in path.read_text().splitlines()]
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: corrupt ({reason(error)}); make the features again") from error
        if len(names) != len(self):
            raise UserError(f"{path}: {len(names):,} names, not {len(self):,}; make the features again")
        return names

    def rows(self, numbers: np.ndarray | slice) -> np.ndarray:
        """Read rows from disk: (len(numbers), width) float32."""
        return self.values[numbers].astype(np.float32)

    def check_checkpoint(self, checkpoint: CheckpointInfo) -> None:
        """Raise UserError unless the features were extracted with this checkpoint."""
        own = self.info.checkpoint
        if own.sha256 != checkpoint.sha256:
            raise UserError(
                f"{self.folder}: made from another checkpoint (step {own.step:,}) than {checkpoint.file} "
                f"(step {checkpoint.step:,}); make them again with `features`"
            )

    def check_comparable(self, other: "Features") -> None:
        """Raise UserError unless both are of the same checkpoint and layer, so that distances make sense."""
        if [self.identity[key] for key in ("checkpoint", "layer")] != [
            other.identity[key] for key in ("checkpoint", "layer")
        ]:
            raise UserError(f"{other.folder}: of another checkpoint or layer than {self.folder}; make both again")
