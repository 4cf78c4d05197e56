"""Features of all images of a split (§7.1; §6.1 of 2012): by default activations of fc7, which Figure 4 compares.

`features` writes `features/<split>-<layer>/` in the run folder:

    features.npy   (images, width) float16 in the order of the split; open with numpy.load(…, mmap_mode="r")
    labels.npy     (images,) int64 class index; −1 if unknown
    names.jsonl    one JSON string per image: its name in the store
    about.json     checkpoint, store, split and layer of the features
"""

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from alexnet_pl.console import shorten_path
from alexnet_pl.errors import UserError, reason
from alexnet_pl.json_records import Count, JsonObject, read_record
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

ABOUT, VALUES, LABELS, NAMES = "about.json", "features.npy", "labels.npy", "names.jsonl"


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


def features_dir(run: Path, split: str, layer: str = "fc7") -> Path:
    return run / "features" / f"{split}-{layer}"


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
        if not (folder / ABOUT).is_file():
            unfinished = folder.with_name(f"{folder.name}.partial").exists()
            state = "is unfinished" if unfinished else "does not exist"
            split, _, layer = folder.name.rpartition("-")
            run = shlex.quote(shorten_path(folder.parent.parent))
            how = f"python -m alexnet_pl features {run} features.split={split} features.layer={layer}"
            raise UserError(f"{shorten_path(folder)}: {state}; {'resume with' if unfinished else 'make it with'} {how}")
        try:
            self.info = read_record(folder / ABOUT, FeaturesInfo, "make the features again")
            self.values = np.load(folder / VALUES, mmap_mode="r")
            self.labels = np.load(folder / LABELS)
            check_labels(self.labels, self.info.dataset.classes)
            shape = self.info.images, self.info.width
            if self.values.shape != shape or self.values.dtype != np.float16 or len(self.labels) != shape[0]:
                raise ValueError(f"{self.values.shape} numbers and {len(self.labels)} labels, not {shape}")
        except (OSError, ValueError, EOFError, MemoryError) as error:
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
        path = self.folder / NAMES
        try:
            names = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
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
        own, theirs = ((one.info.checkpoint.sha256, one.info.layer) for one in (self, other))
        if own != theirs:
            raise UserError(f"{other.folder}: of another checkpoint or layer than {self.folder}; make both again")
