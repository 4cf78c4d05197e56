"""Answer of the demo app to an image: five labels (Figure 4, left) and the six nearest training images (right)."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.images import decode, resize_center_crop
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import build, trained_run
from alexnet_pl.retrieval import features, gallery
from alexnet_pl.retrieval.codebook import CodeBook, open_codes
from alexnet_pl.retrieval.gallery import ImageIndex
from alexnet_pl.runs.checkpoint import checkpoint_step
from alexnet_pl.runs.layout import LAST

FIVE, SIX = 5, 6
CODES = Path("runs/codes")  # where fits of configs/codes.yaml lie


class Label(NamedTuple):
    name: str
    probability: float


class Near(NamedTuple):
    """A training image, (3, size, size) uint8, and how far it is, in words."""

    image: np.ndarray
    name: str
    file: str
    distance: str


@dataclass(frozen=True)
class Search:
    """One way to search. `near` is empty where it cannot be done yet, and `note` then says how to get there."""

    title: str
    near: list[Near]
    note: str


@dataclass(frozen=True)
class Answer:
    labels: list[Label]
    note: str
    searches: list[Search]


class ImageLookup:
    """A run folder's network, and its features where there are some. Raises UserError for a folder without a
    checkpoint, for features of another one, and where the store that they are of is gone."""

    def __init__(self, run: Path, checkpoint: str = "last", codes: str = "", *overrides: str) -> None:
        """`codes`: a run folder of configs/codes.yaml; else the newest in `CODES` that learned from these features."""
        self.run, self.cfg = run, trained_run.open_trained_run(run, checkpoint, overrides)
        there = features.features_dir(run, "train") / "about.json"
        self.gallery = ImageIndex(self.cfg, run) if there.is_file() else None
        if self.gallery:
            _ = self.gallery.images
        self.codes = find_codes(codes, self.gallery)
        self.extractor = self.gallery.extractor if self.gallery else gallery.make_extractor(self.cfg)
        self.module = self.extractor.module
        self.classes = [name.split(",")[0] for _, name in self.module.classes]

    @property
    def about(self) -> str:
        step = f"step {checkpoint_step(self.cfg):,}"
        among = f"; neighbours among {len(self.gallery.features):,} training images" if self.gallery else ""
        return f"{self.cfg.data.name}, {len(self.classes):,} classes, {Path(self.cfg.ckpt_path).name}, {step}{among}"

    def read(self, data: bytes) -> Tensor:
        """An image file → (1, 3, size, size) uint8. Raises ValueError with the reason where it is none."""
        return resize_center_crop(decode(data)[0], self.module.augment.size, self.cfg.prepare.filter)[None]

    def answer(self, image: Tensor) -> Answer:
        """Answer for an image, (1, 3, size, size) uint8."""
        labels, seconds = self.labels(image)
        seen = "Centre view" if self.module.views == "center" else f"{self.module.views.capitalize()} views"
        return Answer(labels, f"{seen}, {milliseconds(seconds)}.", [self.by_features(image), self.by_codes(image)])

    @torch.inference_mode()
    def labels(self, image: Tensor) -> tuple[list[Label], float]:
        began = time.perf_counter()
        scores = self.module.test_scores(image.to(self.extractor.device)).exp()[0]
        best = scores.topk(min(FIVE, len(self.classes)))
        found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [Label(self.classes[i], p) for i, p in found], time.perf_counter() - began

    def by_features(self, image: Tensor) -> Search:
        title = "Nearest by fc7 features"
        if self.gallery is None:
            return Search(title, [], f"No features yet. Make them with: python -m alexnet_pl features -c {self.run}")
        began = time.perf_counter()
        found = self.gallery.nearest(image, SIX)
        width, count = self.gallery.features.width, len(self.gallery.features)
        alone, whole = milliseconds(found.seconds), milliseconds(milliseconds_since(began))
        note = f"{count:,} × {width:,} numbers, all compared in {alone}; with the network's pass {whole}."
        return Search(title, self.near(found.numbers[0], found.distances[0], "{:.1f}"), note)

    def by_codes(self, image: Tensor) -> Search:
        title = "Nearest by binary codes"
        if self.gallery is None or self.codes is None:
            how = f"python -m alexnet_pl reproduce -c codes codes.features={self.run}"
            return Search(title, [], f"No codes yet. After features, make them with: {how}")
        began = time.perf_counter()
        found = self.codes.nearest(self.gallery.embed(image), SIX)
        count, bits = len(self.gallery.features), self.codes.bits
        alone, whole = milliseconds(found.seconds), milliseconds(milliseconds_since(began))
        note = f"{count:,} × {bits} bits, all compared in {alone}; with the network's pass {whole}."
        return Search(title, self.near(found.numbers[0], found.distances[0], "{:.0f} bits differ"), note)

    def near(self, numbers: np.ndarray, distances: np.ndarray, how: str) -> list[Near]:
        assert self.gallery is not None
        images, of = self.gallery.images_at(numbers).numpy(), self.gallery.features
        return [
            Near(image, self.classes[of.labels[number]], of.names[number], how.format(distance))
            for image, number, distance in zip(images, numbers, distances, strict=True)
        ]

    def example(self) -> tuple[Tensor, str] | None:
        """Some validation image and its class, where the store is at hand."""
        try:
            split = self.store().split("val")
        except UserError:
            return None
        number = int(np.random.default_rng().integers(len(split)))
        return split.images(np.array([number])), self.classes[split.labels[number]]

    def store(self) -> Store:
        return build.make_data(self.cfg).store


def find_codes(given: str, there: ImageIndex | None) -> CodeBook | None:
    """Raises UserError where the codes that were asked for are none, or of other features."""
    if given and there is None:
        raise UserError(f"codes={given}: this run has no features yet: python -m alexnet_pl features -c RUN")
    if there is None or given:
        return open_codes(given, there.features) if there else None
    found = sorted(CODES.glob(f"**/{LAST}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found:
        with suppress(UserError):
            return open_codes(path.parent.parent, there.features)
    return None


def milliseconds_since(began: float) -> float:
    return time.perf_counter() - began


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
