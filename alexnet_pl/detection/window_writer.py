"""Writer of a window cache (§4.2): an interrupted computation continues after the last part that was saved."""

import os
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from zipfile import BadZipFile

import numpy as np
from torch import Tensor

from alexnet_pl.temporary_files import replacing

FEATURES = "features.f16"
IMAGES_PER_PART = 256


class WindowBatch(NamedTuple):
    """Features of windows, boxes relative to the windows, and class indices."""

    features: Tensor  # (N, width) float16 on disk, float32 in training
    targets: Tensor  # (N, 4)
    labels: Tensor  # (N,)


class WindowPart(NamedTuple):
    """Boxes and classes of the windows of some images."""

    images: int
    targets: np.ndarray  # (N, 4) float32
    labels: np.ndarray  # (N,) int64


class WindowWriter:
    """Appends the windows of one image after another to the files in `folder`; a context manager.

    `images`: number of images whose windows are saved; the next to add. Files, besides features.f16:

        part-000000.npz   `images`, `targets` and `labels` of the first part, written after its features

    Features after the last saved part belong to images that will be added again, and are removed.
    """

    def __init__(self, folder: Path, width: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.parts = list(read_parts(folder))
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []  # targets and labels; features are in the file
        self.pending_images = 0
        self.file = (folder / FEATURES).open("ab")
        size = 2 * width * sum(len(part.labels) for part in self.parts)
        if os.fstat(self.file.fileno()).st_size < size:  # the system crashed before it wrote them to disk
            self.parts, size = [], 0
        self.file.truncate(size)
        remove_parts(folder, first=len(self.parts))

    @property
    def images(self) -> int:
        return sum(part.images for part in self.parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.pending_images:
            self.save_part()
        self.file.close()

    def add_image(self, batches: Iterable[WindowBatch]) -> None:
        """Append the windows of the next image."""
        for batch in batches:
            self.file.write(batch.features.cpu().numpy().tobytes())
            self.pending.append((batch.targets.numpy().astype(np.float32), batch.labels.numpy().astype(np.int64)))
        self.pending_images += 1
        if self.pending_images == IMAGES_PER_PART:
            self.save_part()

    def save_part(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        part = WindowPart(
            self.pending_images,
            concatenate([targets for targets, _ in self.pending], (0, 4), np.float32),
            concatenate([labels for _, labels in self.pending], (0,), np.int64),
        )
        with replacing(part_path(self.folder, len(self.parts))) as temporary, temporary.open("wb") as file:
            np.savez(file, **part._asdict())
        self.parts.append(part)
        self.pending, self.pending_images = [], 0

    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Targets (N, 4) and labels (N,) of all windows that were saved."""
        targets, labels = ([getattr(part, name) for part in self.parts] for name in ("targets", "labels"))
        return concatenate(targets, (0, 4), np.float32), concatenate(labels, (0,), np.int64)


def remove_parts(folder: Path, first: int = 0) -> None:
    """Remove the parts from number `first` on."""
    for path in folder.glob("part-*"):
        if path >= part_path(folder, first):
            path.unlink()


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06}.npz"


def read_parts(folder: Path) -> Iterator[WindowPart]:
    """Parts of an interrupted computation, up to the first that is missing or corrupt."""
    for number in count():
        try:
            with part_path(folder, number).open("rb") as file, np.load(file) as saved:
                yield WindowPart(int(saved["images"]), saved["targets"], saved["labels"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return


def concatenate(arrays: list[np.ndarray], empty: tuple[int, ...], kind: type) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(empty, kind)
