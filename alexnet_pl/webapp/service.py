"""Classifier behind the demo app: five labels (Figure 4, left), Grad-CAM, six nearest training images (right)."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.views import describe_views
from alexnet_pl.data.images import crop_center, resize_center_crop, resize_shorter_side
from alexnet_pl.data.loading.whole_images import whole_image
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import short_name
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import build, trained_run
from alexnet_pl.files import modified
from alexnet_pl.inference.attribution import grad_cam
from alexnet_pl.retrieval import gallery
from alexnet_pl.retrieval.codebook import CodeBook, open_codes
from alexnet_pl.retrieval.features import features_dir
from alexnet_pl.retrieval.gallery import ImageIndex
from alexnet_pl.retrieval.search import Neighbors
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_metadata import resizing_filter
from alexnet_pl.runs.layout import LAST
from alexnet_pl.runs.title import name_run
from alexnet_pl.webapp.answer import Answer, Explanation, Label, NearImage, SearchAnswer, Truth, format_duration
from alexnet_pl.webapp.upright import decode_upright

NUM_LABELS, NUM_NEIGHBORS = 5, 6
CODES = Path("runs/codes")  # run folders of configs/codes.yaml


class DemoService:
    """Classification and image search with a run folder's network.

    Raises UserError if the run has no checkpoint, if its features were computed with another checkpoint, or if their
    store no longer exists.
    """

    def __init__(self, run: Path, checkpoint: str = "last", codes: str = "", *overrides: str) -> None:
        """Open a run. `codes`: run folder of configs/codes.yaml; by default the newest in `CODES` that fit."""
        self.run, self.cfg = run, trained_run.open_trained_run(run, checkpoint, overrides)
        features_file = features_dir(run, "train") / "about.json"
        self.index = ImageIndex(self.cfg, run) if features_file.is_file() else None
        if self.index:
            self.index.check_store()
        self.codes = find_codes(codes, self.index)
        self.extractor = self.index.extractor if self.index else gallery.make_extractor(self.cfg)
        self.module = self.extractor.module
        self.classes = [short_name(name) for _, name in self.module.classes]

    @property
    def title(self) -> str:
        return name_run(self.run)

    @property
    def description(self) -> str:
        step = f"step {read_checkpoint(self.cfg.ckpt_path)['global_step']:,}"
        neighbors = f"; neighbors among {len(self.index.features):,} training images" if self.index else ""
        return (
            f"{self.cfg.data.name}, {len(self.classes):,} classes, {Path(self.cfg.ckpt_path).name}, {step}{neighbors}"
        )

    def read(self, data: bytes) -> Tensor:
        """Decode an image file: (1, 3, size, size) uint8, or for dense views the whole image, whose shorter side is
        `size`. Raises ValueError, with the reason, if it is not an image, or too long to be classified whole."""
        filter_name = resizing_filter(self.module.filter, self.cfg)
        resize = resize_shorter_side if self.module.dense else resize_center_crop
        return resize(decode_upright(data), self.module.augment.size, filter_name)[None]

    def answer(self, image: Tensor) -> Answer:
        """Classify an image from `read`; compute the Grad-CAM of its center, and search for images similar to that."""
        labels, seconds = self.predict_labels(image)
        size = self.module.augment.size
        square = torch.from_numpy(crop_center(image[0].numpy(), size, size))[None]
        views = describe_views(self.module.views)
        return Answer(
            self.module.augment.center(square[0]).numpy(),
            f"{views[0].upper()}{views[1:]}, {format_duration(seconds)}.",
            labels,
            self.explain(square, labels[0]),
            [self.search_features(square), self.search_codes(square)],
            sees_whole=bool(self.module.dense),
        )

    def explain(self, image: Tensor, label: Label) -> Explanation:
        """Grad-CAM of the center view for a label."""
        (view,) = self.module.augment.views(image.to(self.extractor.device), "center")
        try:
            maps = grad_cam(self.module.net, view, label.number).cpu().numpy()
        except UserError as error:
            return Explanation(None, str(error))
        return Explanation(maps / max(float(maps.max()), 1e-12), f"Grad-CAM of the center view for “{label.name}”.")

    @torch.inference_mode()
    def predict_labels(self, image: Tensor) -> tuple[list[Label], float]:
        start = time.perf_counter()
        scores = self.module.test_scores(image.to(self.extractor.device)).exp()[0]
        top = scores.topk(min(NUM_LABELS, len(self.classes)))
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        return [Label(self.classes[i], p, i) for i, p in pairs], time.perf_counter() - start

    def search_features(self, image: Tensor) -> SearchAnswer:
        title, index = "Nearest by fc7 features", self.index
        if index is None:
            return SearchAnswer(title, [], f"No features yet. Make them with: python -m alexnet_pl features {self.run}")
        what = f"{index.features.width:,} numbers"
        return self.search(title, lambda: index.nearest_to_images(image, NUM_NEIGHBORS), what, "distance {:.1f}")

    def search_codes(self, image: Tensor) -> SearchAnswer:
        title, index, codes = "Nearest by binary codes", self.index, self.codes
        if index is None or codes is None:
            how = f"python -m alexnet_pl reproduce -c codes codes.features={self.run}"
            return SearchAnswer(title, [], f"No codes yet. After features, make them with: {how}")
        what = f"{codes.bits} bits"
        return self.search(
            title, lambda: codes.nearest(index.embed(image), NUM_NEIGHBORS), what, "Hamming distance {:.0f}"
        )

    def search(self, title: str, find: Callable[[], Neighbors], what: str, distance: str) -> SearchAnswer:
        """Time a search and show what it finds. `what`: numbers or bits per image; `distance`: format of one."""
        start = time.perf_counter()
        try:
            neighbors = find()
        except UserError as error:  # faiss is not installed
            return SearchAnswer(title, [], str(error))
        search_time = format_duration(neighbors.seconds)
        total_time = format_duration(time.perf_counter() - start)
        near = self.near_images(neighbors.numbers[0], neighbors.distances[0], distance)
        assert self.index is not None
        count = len(self.index.features)
        note = f"{count:,} × {what}, all compared in {search_time}; with the forward pass {total_time}."
        return SearchAnswer(title, near, note)

    def near_images(self, numbers: np.ndarray, distances: np.ndarray, template: str) -> list[NearImage]:
        assert self.index is not None
        images, features = self.index.read_images(numbers).numpy(), self.index.features
        return [
            NearImage(image, self.classes[features.labels[number]], features.names[number], template.format(distance))
            for image, number, distance in zip(images, numbers, distances, strict=True)
        ]

    @cached_property
    def examples(self) -> Split:
        """Validation images. Raises UserError if the store is not available."""
        store = self.index.store if self.index else build.make_data(self.cfg).store
        return store.split("val")

    @property
    def has_examples(self) -> bool:
        with suppress(UserError):
            return len(self.examples) > 0
        return False

    def example(self) -> tuple[Tensor, Truth] | None:
        """Random validation image and its class; None if the store is not available."""
        if not self.has_examples:
            return None
        split = self.examples
        number = int(np.random.default_rng().integers(len(split)))
        label = int(split.labels[number])
        image = whole_image(split, number)[None] if self.module.dense else split.images(np.array([number]))
        return image, Truth(self.classes[label], label)


def find_codes(run: str, index: ImageIndex | None) -> CodeBook | None:
    """Open the codes of `run`, or the newest that fit the features; None if there are none.

    Raises UserError if `run` has no codes, or codes of other features.
    """
    if index is None:
        if run:
            raise UserError(f"codes={run}: this run has no features yet: python -m alexnet_pl features -c RUN")
        return None
    if run:
        return open_codes(run, index.features)
    for path in sorted(CODES.glob(f"**/{LAST}"), key=modified, reverse=True):
        with suppress(UserError):
            return open_codes(path.parent.parent, index.features)
    return None
