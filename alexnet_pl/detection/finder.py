"""Boxes of an image (§4.3): all windows at all scales answer, and the answers of each class are merged."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.detection.box_network import BoxNetwork
from alexnet_pl.detection.boxes import Boxes, as_boxes, clip, from_window_frame
from alexnet_pl.detection.merging import MergeOptions, merge
from alexnet_pl.detection.pyramid import make_picture, picture_sides, resized, window_boxes
from alexnet_pl.detection.suppression import suppress

MOST = 1600  # boxes of a class that are merged, the surest: as many as six scales have windows


class Candidates(NamedTuple):
    """Answers of windows, before they are merged."""

    labels: np.ndarray  # (N,) int
    scores: np.ndarray  # (N,) softmax output of the class
    boxes: Boxes  # (N, 4) in pixels of the image
    asked: np.ndarray  # (N,) bool: there only because the class was asked for, not among the best of its scale

    def some(self, kept: np.ndarray) -> "Candidates":
        return Candidates(*(column[kept] for column in self))


class Found(NamedTuple):
    """Boxes of an image, the surest first. `scores`: of merging, sums over windows; of suppression, the best one's."""

    labels: np.ndarray
    scores: np.ndarray
    boxes: Boxes


class BoxFinder:
    """(3, H, W) uint8 → boxes with classes. `options` decide what `trained_with` leaves open."""

    def __init__(
        self, network: BoxNetwork, trained_with: BoxOptions, options: DetectOptions, device: torch.device
    ) -> None:
        self.network, self.options, self.device = network.to(device).eval(), options, device
        self.scales = options.scales or trained_with.scales
        self.zoom = trained_with.zoom if options.zoom is None else options.zoom

    def find(self, image: Tensor) -> Found:
        return self.combine(self.candidates(image))

    @torch.inference_mode()
    def candidates(self, image: Tensor, also: Sequence[int] = ()) -> Candidates:
        """Of each scale, the answers of all windows for the classes with the highest spatial maxima, and for `also`."""
        parts = [self.scale_candidates(image, scale, also) for scale in self.scales]
        found = Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return found.some(found.scores >= self.options.least_score)

    def scale_candidates(self, image: Tensor, scale: int, also: Sequence[int]) -> Candidates:
        size: tuple[int, int] = tuple(image.shape[1:])  # type: ignore[assignment]
        sides = picture_sides(size, self.network.window, scale, self.zoom)
        answers = self.network(make_picture(image, sides).to(self.device))
        scores = answers.scores[: self.network.objects].flatten(1)  # (classes, windows)
        edges = answers.boxes.flatten(2).double()  # (heads, 4, windows)
        windows = window_boxes(self.network.window, sides)
        if self.options.positions == "center":
            center = windows_at_center(tuple(answers.scores.shape[1:]))  # type: ignore[arg-type]
            scores, edges, windows = scores[:, center], edges[:, :, center], windows[center]
        best = scores.amax(1).topk(min(self.options.classes, len(scores))).indices.tolist()
        classes = [*best, *(label for label in also if label not in best)]
        boxes = [self.class_boxes(edges, label, windows) for label in classes]
        return Candidates(
            np.repeat(classes, len(windows)),
            scores[classes].cpu().double().numpy().ravel(),
            clip(resized(np.concatenate(boxes), sides, size), size[1], size[0]),
            np.repeat(~np.isin(classes, best), len(windows)),
        )

    def class_boxes(self, edges: Tensor, label: int, windows: Boxes) -> Boxes:
        own = edges[label if len(edges) > 1 else 0]
        return from_window_frame(own.T.cpu().numpy(), windows)

    def combine(self, some: Candidates) -> Found:
        """Merge the boxes of each class by themselves: with a shared regressor, those of two classes are the same."""
        parts = [self.combine_class(some, int(label)) for label in np.unique(some.labels)]
        if not parts:
            return Found(np.empty(0, int), np.empty(0), as_boxes([]))
        labels, scores, boxes = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(-scores, kind="stable")
        return Found(labels[order], scores[order], boxes[order])

    def combine_class(self, some: Candidates, label: int) -> Found:
        own = np.flatnonzero(some.labels == label)
        own = own[np.argsort(-some.scores[own], kind="stable")[:MOST]]
        if self.options.combine == "nms":
            boxes, scores = suppress(some.boxes[own], some.scores[own], self.options.iou)
        else:
            how = MergeOptions(self.options.threshold, self.options.score, self.options.weight)
            boxes, scores, *_ = merge(some.boxes[own], some.scores[own], how)
        return Found(np.full(len(boxes), label), scores, boxes)

    def confident(self, found: Found) -> Found:
        """Without boxes that are less sure than `detect.confidence`."""
        return Found(*(column[found.scores >= self.options.confidence] for column in found))

    def guesses(self, found: Found, most: int = 5) -> Found:
        """The best box of each class, for the classes with the best ones: guesses for ILSVRC's localisation error."""
        _, first = np.unique(found.labels, return_index=True)
        kept = np.sort(first)[:most]
        return Found(*(column[kept] for column in found))


def windows_at_center(grid: tuple[int, int]) -> list[int]:
    """The number of the window at the centre of (rows, columns) of them."""
    rows, columns = grid
    return [(rows // 2) * columns + columns // 2]
