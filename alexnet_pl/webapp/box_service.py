"""Box network behind the demo app: boxes with classes and confidences in an image (OverFeat §4, §5)."""

import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.images import check_aspect_ratio
from alexnet_pl.detection.box_run import BoxRun
from alexnet_pl.detection.pyramid import resize_image
from alexnet_pl.errors import UserError
from alexnet_pl.runs.checkpoint_metadata import resizing_filter
from alexnet_pl.runs.title import name_run
from alexnet_pl.webapp.answer import Answer, FoundBox, format_duration
from alexnet_pl.webapp.upright import decode_upright

MOST_BOXES = 20  # maximum boxes shown per image, the most confident
LONGEST_SIDE = 1024  # maximum side in pixels of an image that the page shows; larger ones are reduced, with their boxes


class BoxService:
    """Detection with a box run's network. Raises UserError if the run has no checkpoint."""

    def __init__(self, run: Path, root: str | None = None) -> None:
        self.run = BoxRun(run, root)
        self.filter_name = resizing_filter("", self.run.cfg)

    @property
    def title(self) -> str:
        return name_run(self.run.folder)

    @property
    def description(self) -> str:
        scales = ", ".join(map(str, self.run.finder.scales))
        return f"{self.run.cfg.data.name}, boxes of {len(self.run.names):,} classes, scales {scales}"

    def read(self, data: bytes) -> Tensor:
        """Decode an image file: (3, H, W) uint8. Raises ValueError if it is not an image, or too long for a pyramid."""
        image = decode_upright(data)
        check_aspect_ratio(image)
        return image

    def answer(self, image: Tensor) -> Answer:
        """Boxes in an image, (3, H, W) uint8, with a confidence of at least `detect.confidence`."""
        start, finder = time.perf_counter(), self.run.finder
        finder.left_out = 0
        found = finder.select_confident(finder.find_in_photograph(image, self.filter_name))
        seconds = time.perf_counter() - start
        shown = reduce_size(image)
        scale = shown.shape[2] / image.shape[2]
        boxes = [
            FoundBox(self.run.names[label], float(score), *map(float, scale * np.asarray(box)))
            for label, score, box in list(zip(found.labels, found.scores, found.boxes, strict=True))[:MOST_BOXES]
        ]
        not_shown = f"; {len(found.labels) - MOST_BOXES} more are not shown" if len(found.labels) > MOST_BOXES else ""
        least, took = f"{finder.options.confidence:g}", format_duration(seconds)
        not_merged = f"; {text}" if (text := finder.describe_left_out()) else ""
        note = f"Boxes with a confidence of at least {least}{not_shown}{not_merged}; {took}."
        return Answer(shown.numpy(), note, boxes=boxes)

    @property
    def has_examples(self) -> bool:
        with suppress(UserError):
            return len(self.run.images("val")) > 0
        return False

    def example(self) -> tuple[Tensor, None] | None:
        """Random validation image; None if the store is not available. Its boxes are not shown."""
        if not self.has_examples:
            return None
        split = self.run.images("val")
        return split.image(int(np.random.default_rng().integers(len(split)))), None


def reduce_size(image: Tensor) -> Tensor:
    """Shrink an image, (3, H, W) uint8, to sides of at most `LONGEST_SIDE` pixels."""
    height, width = image.shape[1:]
    if max(height, width) <= LONGEST_SIDE:
        return image
    share = LONGEST_SIDE / max(height, width)
    sides = max(1, round(height * share)), max(1, round(width * share))
    return resize_image(image, sides)[0].round().clamp(0, 255).to(torch.uint8)
