"""Features of every image of a split (§7.1; §6.1 of 2012): by default fc7's activations, which Figure 4 compares.

`features` leaves `features/<split>-<layer>/` in the run folder:

    features.npy   (images, width) float16, in the split's order; numpy.load(…, mmap_mode="r") opens it
    labels.npy     (images,) int64 class index; −1 where none is known
    names.jsonl    a JSON string an image: its name in the store
    about.json     of which checkpoint, store, split and layer they are

Of the centre view, with dropout's factors as in any test. 1.28 million images of 4,096 numbers are 10.5 GB, of which
only a block is ever in memory. Until all are there the folder is `….partial`, from which the same command goes on.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.data.loading.streaming import DEFAULT_OPTIONS, batch_pipeline
from alexnet_pl.data.store.store import Split
from alexnet_pl.errors import UserError, reason
from alexnet_pl.training.classifier import Classifier

SIDE = 32  # pixels of Krizhevsky & Hinton's (2011) images
BLOCK = 1024  # images between two notes of how far it is; fewer than a batch are one batch

Layer = Callable[[Classifier, Tensor], Tensor]
"""(N, 3, crop, crop) view → (N, width)."""


def fc7(module: Classifier, view: Tensor) -> Tensor:
    if not hasattr(module.net, "features"):
        raise UserError(
            "features.layer=fc7: this run's network has no such layer; features.layer=pixels has none to ask"
        )
    return module.net.features(module.performance.to_memory_format(view))  # type: ignore[operator]


def pixels(module: Classifier, view: Tensor) -> Tensor:
    """The view itself, 32 × 32 and minus its mean: what an auto-encoder on raw pixels reads (§7.1's comparison)."""
    return F.interpolate(view, size=(SIDE, SIDE), mode="bilinear", antialias=True).flatten(1)


LAYERS: dict[str, Layer] = {"fc7": fc7, "pixels": pixels}


class Extractor:
    """uint8 images (N, 3, size, size) → (N, width) float32, by the centre view, on the network's device."""

    def __init__(self, module: Classifier, layer: str, device: torch.device, precision: str = "32-true") -> None:
        if layer not in LAYERS:
            raise UserError(f"features.layer={layer}: one of {', '.join(LAYERS)}")
        self.module, self.layer, self.device = module.to(device).eval(), layer, device
        self.precision = precision

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        (view,) = self.module.augment.views(images.to(self.device), "center")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            return LAYERS[self.layer](self.module, view).float()

    @cached_property
    def width(self) -> int:
        size = self.module.augment.size
        return self(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]


def features_dir(run: Path, split: str, layer: str = "fc7") -> Path:
    return run / "features" / f"{split}-{layer}"


def extract(folder: Path, extractor: Extractor, split: Split, facts: dict[str, Any], batch_size: int) -> None:
    """All images of `split` into `folder`, going on where an earlier call was stopped.

    `facts`: {"dataset": evaluate.dataset(…), "checkpoint": result.about_checkpoint(…)}.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    about = {"layer": extractor.layer, "width": extractor.width, "images": len(split), "precision": extractor.precision}
    facts = {**about, **facts}
    done = resume_from(partial, facts)
    step = max(BLOCK // batch_size, 1) * batch_size
    starts = range(done, len(split), batch_size)
    batches = (np.arange(start, min(start + batch_size, len(split))) for start in starts)
    answers = blocks(
        extractor,
        batch_pipeline(split, extractor.device, DEFAULT_OPTIONS)(split, batches, batch_size, extractor.device),
        step,
    )
    with Progress() as bar:
        task = bar.add_task(f"{folder.name}", total=len(split), completed=done)
        for block in answers:
            write_features(partial, done, block)
            done += len(block)
            bar.update(task, completed=done)
    np.save(partial / "labels.npy", split.labels)
    (partial / "names.jsonl").write_text("".join(f"{json.dumps(name)}\n" for name in split.names))
    (partial / "done.json").unlink()
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def resume_from(partial: Path, facts: dict[str, Any]) -> int:
    """Images that are there already; what is of another checkpoint, store or layer is begun anew."""
    try:
        if json.loads((partial / "about.json").read_text()) == facts:
            return json.loads((partial / "done.json").read_text())
    except (OSError, ValueError):
        pass
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    shape = facts["images"], facts["width"]
    np.lib.format.open_memmap(partial / "features.npy", "w+", np.float16, shape)
    note(partial, 0)
    (partial / "about.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def note(partial: Path, done: int) -> None:
    fresh = partial / "done.json.new"
    fresh.write_text(json.dumps(done))
    fresh.replace(partial / "done.json")


def blocks(extractor: Extractor, batches: Iterator[tuple[Tensor, Tensor]], step: int) -> Iterator[np.ndarray]:
    """(step or, at the end, fewer, width) float16."""
    waiting: list[Tensor] = []
    for images, labels in batches:
        waiting.append(extractor(images)[: len(labels)].half().cpu())
        if sum(map(len, waiting)) >= step:
            yield torch.cat(waiting).numpy()
            waiting = []
    if waiting:
        yield torch.cat(waiting).numpy()


def write_features(partial: Path, start: int, block: np.ndarray) -> None:
    """The note of how far it is comes after the block is on the disk."""
    if not np.isfinite(block).all():
        raise UserError(
            f"ckpt_path: activities of images {start:,} … are not finite in float16; take another checkpoint"
        )
    values = np.load(partial / "features.npy", mmap_mode="r+")
    values[start : start + len(block)] = block
    values.flush()
    note(partial, start + len(block))


class Features:
    """Finished features, their values left on the disk. Raises UserError that names what is missing or cut short."""

    values: np.ndarray  # (images, width) float16

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "about.json").is_file():
            unfinished = folder.with_name(f"{folder.name}.partial").exists()
            state = "was not finished" if unfinished else "is not there"
            split, _, layer = folder.name.rpartition("-")
            how = f"features -c RUN features.split={split} features.layer={layer}"
            raise UserError(f"{folder}: {state}; {'go on with' if unfinished else 'make it with'} {how}")
        try:
            self.about: dict[str, Any] = json.loads((folder / "about.json").read_text())
            self.values = np.load(folder / "features.npy", mmap_mode="r")
            self.labels = np.load(folder / "labels.npy")
            shape = self.about["images"], self.about["width"]
            if self.values.shape != shape or self.values.dtype != np.float16 or len(self.labels) != shape[0]:
                raise ValueError(f"{self.values.shape} numbers and {len(self.labels)} labels, not {shape}")
            _ = self.about["checkpoint"]["sha256"], self.about["dataset"]["fingerprint"], self.about["layer"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{folder}: damaged or cut short ({reason(error)}); make them again by `features`"
            ) from error

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        return self.values.shape[1]

    @property
    def identity(self) -> dict[str, Any]:
        """Identity of these features; a copy has the same."""
        about = self.about["dataset"]
        return {
            "checkpoint": self.about["checkpoint"]["sha256"],
            "fingerprint": about["fingerprint"],
            "split": about["split"],
            "layer": self.about["layer"],
            "images": len(self),
            "width": self.width,
        }

    @cached_property
    def names(self) -> list[str]:
        path = self.folder / "names.jsonl"
        try:
            names = [json.loads(line) for line in path.read_text().splitlines()]
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: damaged ({reason(error)}); make the features again") from error
        if len(names) != len(self):
            raise UserError(f"{path}: {len(names):,} names, not {len(self):,}; make the features again")
        return names

    def rows(self, numbers: np.ndarray | slice) -> np.ndarray:
        """(len(numbers), width) float32, read from the disk."""
        return self.values[numbers].astype(np.float32)

    def check_checkpoint(self, about: dict[str, Any]) -> None:
        """Raise UserError unless they are of this checkpoint (`result.about_checkpoint`)."""
        own = self.about["checkpoint"]
        if own["sha256"] != about["sha256"]:
            raise UserError(
                f"{self.folder}: made from another checkpoint (step {own['step']:,}) than {about['file']} "
                f"(step {about['step']:,}); make them again by `features`"
            )

    def check_alike(self, other: "Features") -> None:
        """Raise UserError unless distances between the two mean anything: same checkpoint, same layer."""
        if [self.identity[key] for key in ("checkpoint", "layer")] != [
            other.identity[key] for key in ("checkpoint", "layer")
        ]:
            raise UserError(f"{other.folder}: of another checkpoint or layer than {self.folder}; make both again")
