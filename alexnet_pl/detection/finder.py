"""BoxFinder (§4.3): merges the outputs of all windows at all scales into boxes, class by class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.data.images import resize_shorter_side
from alexnet_pl.detection.box_network import BoxNetwork
from alexnet_pl.detection.boxes import Boxes, as_boxes, clip_boxes, compute_areas, from_window_frame
from alexnet_pl.detection.localisation_error import GUESSES
from alexnet_pl.detection.merging import MergeOptions, merge_classes
from alexnet_pl.detection.pyramid import rescale_boxes, resize_image, window_boxes
from alexnet_pl.detection.suppression import suppress_overlapping
from alexnet_pl.evaluation.image_scales import pyramid_sides
from alexnet_pl.models.sliding_window import WindowGeometry

# Boxes of a class in an image that are merged at most: the most confident ones. `BoxFinder.left_out` counts the others.
# At its six scales the accurate network has 1,920 windows in a photograph of 500 × 375 pixels, 2,298 in 500 × 333 and
# 3,456 in 500 × 250: the longer side is proportional, unlike in Table 5 (1,575 windows). Time and memory grow with the
# square of the number of boxes; 4,000 take 4 s and 0.1 GB.
MAX_CANDIDATES = 4000


ClassRows = dict[int, np.ndarray]
"""Rows of `Candidates` by class."""
ClassBoxes = dict[int, tuple[Boxes, np.ndarray]]
"""Boxes and scores by class."""


class Candidates(NamedTuple):
    """Boxes of windows before merging."""

    labels: np.ndarray  # (N,) int
    scores: np.ndarray  # (N,) softmax output of the class
    boxes: Boxes  # (N, 4) in pixels of the image
    requested: np.ndarray  # (N,) bool: kept only because the class was requested

    def select(self, mask: np.ndarray) -> "Candidates":
        return Candidates(*(column[mask] for column in self))


class PredictedBoxes(NamedTuple):
    """Boxes of an image, most confident first. `scores`: sums over the merged windows, or with NMS each box's own."""

    labels: np.ndarray
    scores: np.ndarray
    boxes: Boxes

    def select(self, rows: np.ndarray) -> "PredictedBoxes":
        return PredictedBoxes(*(column[rows] for column in self))


class BoxFinder:
    """Finds boxes with classes in an image, (3, H, W) uint8. Scales and zoom default to those of `trained_with`.

    `left_out`: number of boxes so far, over images and classes, that were above `MAX_CANDIDATES` and so not merged.
    """

    def __init__(
        self, network: BoxNetwork, trained_with: BoxOptions, options: DetectOptions, device: torch.device
    ) -> None:
        self.network, self.options, self.device = network.to(device).eval(), options, device
        self.scales = options.scales or trained_with.scales
        self.zoom = trained_with.zoom if options.zoom is None else options.zoom
        self.left_out = 0

    def find(self, image: Tensor) -> PredictedBoxes:
        return self.combine(self.candidates(image))

    def find_in_photograph(self, image: Tensor, filter_name: str) -> PredictedBoxes:
        """Boxes in an image of any size, in its pixels. It is resized as `prepare` resized the training images: the
        network has not seen sharper ones, since larger scales enlarge the stored images."""
        stored = resize_shorter_side(image, self.network.size, filter_name)
        found, (height, width) = self.find(stored), image.shape[1:]
        return found._replace(boxes=rescale_boxes(found.boxes, (stored.shape[1], stored.shape[2]), (height, width)))

    def describe_left_out(self) -> str:
        """Sentence on boxes that were not merged; "" if all were."""
        above = f"more than {MAX_CANDIDATES:,} of a class in an image"
        return f"{self.left_out:,} windows not merged: {above}" if self.left_out else ""

    @torch.inference_mode()
    def candidates(self, image: Tensor, requested: Sequence[int] = ()) -> Candidates:
        """Boxes of all windows with an area and a score of at least `detect.least_score`, before merging.

        Classes: at each scale the `detect.classes` with the highest maximum over windows, and those in `requested`,
        whose boxes are kept whatever the scores.
        """
        parts = [self.scale_candidates(image, scale, requested) for scale in self.scales]
        candidates = Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        weak = candidates.scores < self.options.least_score
        kept = (~weak | np.isin(candidates.labels, requested)) & (compute_areas(candidates.boxes) > 0)
        return candidates._replace(requested=candidates.requested | weak).select(kept)

    def scale_candidates(self, image: Tensor, scale: int, requested: Sequence[int]) -> Candidates:
        size: tuple[int, int] = tuple(image.shape[1:])  # type: ignore[assignment]
        sides = pyramid_sides(size, self.network.window, scale, self.zoom)
        picture, windows = resize_image(image, sides), window_boxes(self.network.window, sides)
        if self.options.positions == "center":
            windows = center_window(self.network.window, sides)
            picture = crop_window(picture, windows[0])
        answers = self.network(picture.to(self.device))
        scores = answers.scores[: self.network.num_objects].flatten(1)  # (classes, windows)
        edges = answers.boxes.flatten(2).cpu().double()  # an Apple GPU has no float64; (heads, 4, windows)
        best = scores.amax(1).topk(min(self.options.classes, len(scores))).indices.tolist()
        classes = [*best, *(label for label in requested if label not in best)]
        boxes = [class_boxes(edges, label, windows) for label in classes]
        return Candidates(
            np.repeat(classes, len(windows)),
            scores[classes].cpu().double().numpy().ravel(),
            clip_boxes(rescale_boxes(np.concatenate(boxes), sides, size), size[1], size[0]),
            np.repeat(~np.isin(classes, best), len(windows)),
        )

    def combine(self, candidates: Candidates) -> PredictedBoxes:
        """Merge or suppress boxes class by class, because a shared regressor gives all classes the same boxes."""
        rows = {label: self.most_confident(candidates, label) for label in np.unique(candidates.labels).tolist()}
        if not rows:
            return PredictedBoxes(np.empty(0, int), np.empty(0), as_boxes([]))
        found = self.merge(candidates, rows) if self.options.combine == "merge" else self.suppress(candidates, rows)
        boxes, scores = (np.concatenate(column) for column in zip(*(found[label] for label in rows), strict=True))
        labels = np.repeat([*rows], [len(found[label][1]) for label in rows])
        order = np.argsort(-scores, kind="stable")
        return PredictedBoxes(labels[order], scores[order], boxes[order])

    def most_confident(self, candidates: Candidates, label: int) -> np.ndarray:
        """Rows of at most `MAX_CANDIDATES` boxes of a class, most confident first."""
        rows = np.flatnonzero(candidates.labels == label)
        self.left_out += max(0, len(rows) - MAX_CANDIDATES)
        return rows[np.argsort(-candidates.scores[rows], kind="stable")[:MAX_CANDIDATES]]

    def suppress(self, candidates: Candidates, rows: ClassRows) -> ClassBoxes:
        boxes, scores = candidates.boxes, candidates.scores
        return {label: suppress_overlapping(boxes[own], scores[own], self.options.iou) for label, own in rows.items()}

    def merge(self, candidates: Candidates, rows: ClassRows) -> ClassBoxes:
        """Merge classes with the same boxes together: with a shared regressor, all that are at the same scales."""
        options = MergeOptions(self.options.threshold, self.options.score, self.options.weight)
        groups: dict[bytes, list[int]] = {}
        in_order = {label: np.sort(own) for label, own in rows.items()}
        for label, own in in_order.items():
            groups.setdefault(candidates.boxes[own].tobytes(), []).append(label)
        found: ClassBoxes = {}
        for labels in groups.values():
            scores = np.stack([candidates.scores[in_order[label]] for label in labels])
            merged = merge_classes(candidates.boxes[in_order[labels[0]]], scores, options)
            found |= {label: (each.boxes, each.scores) for label, each in zip(labels, merged, strict=True)}
        return found

    def select_confident(self, boxes: PredictedBoxes) -> PredictedBoxes:
        """Boxes with a score of at least `detect.confidence`."""
        return boxes.select(boxes.scores >= self.options.confidence)

    def select_guesses(self, boxes: PredictedBoxes) -> PredictedBoxes:
        """The best box of each of the five best classes: guesses for ILSVRC's localisation error."""
        _, first = np.unique(boxes.labels, return_index=True)
        return boxes.select(np.sort(first)[:GUESSES])


def class_boxes(edges: Tensor, label: int, windows: Boxes) -> Boxes:
    """Boxes of a class from the regressor's outputs (heads, 4, windows), in pixels: (windows, 4)."""
    return from_window_frame(edges[label if len(edges) > 1 else 0].T.numpy(), windows)


def center_window(window: WindowGeometry, sides: tuple[int, int]) -> Boxes:
    """The central window of an image of `sides` (height, width): (1, 4) in its pixels.

    In a grid with an even number of rows or columns no window is central, so it is not taken from the grid.
    """
    top, left = ((side - window.window) // 2 for side in sides)
    return as_boxes([left, top, left + window.window, top + window.window])


def crop_window(picture: Tensor, window: Boxes) -> Tensor:
    """(1, 3, H, W) → the pixels of a window, (4,) whole numbers."""
    left, top, right, bottom = window.astype(int).tolist()
    return picture[:, :, top:bottom, left:right]
