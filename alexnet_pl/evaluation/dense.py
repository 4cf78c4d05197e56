"""Dense evaluation (OverFeat §3.3): the network's outputs for every window of an image, at several scales.

The paper pools the last convolution's maps 3 × 3 times from different offsets, runs the classifier over each pooled map
and interleaves the nine results. One pass gives the same numbers: pooling at stride 1, and the first fully connected
layer as a convolution with dilation 3.

A window inside an image differs slightly from a training crop: around a crop, padded convolutions see zeros; around a
window, they see neighboring pixels, up to 48 pixels away for the accurate network. The paper does the same.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.config.views import DenseViews
from alexnet_pl.evaluation.image_scales import group_by_sides, resize_to_sides, stack_resized, target_sides
from alexnet_pl.models.sliding_window import SlidingNetwork

PIXELS_PER_BATCH = {"cpu": 1 << 21, "cuda": 1 << 25}  # in one forward pass
CELLS_PER_STRIP = {"cpu": 1 << 13, "cuda": 1 << 17}  # classifier outputs computed together, as rows of a map


def dense_logits(net: SlidingNetwork, pictures: Tensor, stride: str = "fine") -> Tensor:
    """Preprocessed images (N, 3, H, W) → (N, classes, rows, columns) logits, one cell per window.

    The window of cell (i, j) has its upper left corner at pixel `window.stride` · (i, j), or `window.fine_stride` ·
    (i, j) at the fine stride.
    """
    return slide_classifier(net, net.convolve(pictures), stride)


def slide_classifier(net: SlidingNetwork, maps: Tensor, stride: str = "fine") -> Tensor:
    """Maps before the last pooling (N, maps, h, w) → (N, classes, rows, columns) logits, computed in strips of rows."""
    window, fine = net.window, stride == "fine"
    pooled = F.max_pool2d(maps, window.pool, 1 if fine else window.pool_stride)
    dilation = window.pool_stride if fine else 1
    pooled = net.convolve_pooled(pooled, dilation)  # before slicing: a strip's edges would be padded with zeros
    overlap = dilation * (window.classifier - 1)  # rows that one output reads beyond its own row
    rows, columns = pooled.shape[2] - overlap, pooled.shape[3] - overlap
    rows_per_strip = max(1, CELLS_PER_STRIP.get(maps.device.type, CELLS_PER_STRIP["cpu"]) // (len(maps) * columns))
    strips = [
        net.classify(pooled[:, :, top : min(top + rows_per_strip, rows) + overlap], dilation)
        for top in range(0, rows, rows_per_strip)
    ]
    return strips[0] if len(strips) == 1 else torch.cat(strips, 2)


def score_windows(logits: Tensor, score: str) -> Tensor:
    """(N, classes, rows, columns) → the same shape, float32: softmax of each window, or the logits unchanged."""
    return F.softmax(logits.float(), 1) if score == "softmax" else logits.float()


def dense_scores(
    net: SlidingNetwork, prepare: Callable[[Tensor], Tensor], images: Sequence[Tensor], options: DenseViews
) -> Tensor:
    """(3, H, W) uint8 images of any sizes → (N, classes) log-probabilities.

    Each class gets its maximum over all windows, for each scale and for the image and its reflection, and then the mean
    of these maxima (§3.3, steps i and ii). Maxima of softmax outputs do not add up to 1, so the mean is normalized,
    which keeps the order of the classes; an ensemble averages the normalized means (docs/overfeat.md).
    `prepare`: pixels 0 … 255 → inputs of `net`.
    """
    scales = options.scales
    total: Tensor = sum(sum_maxima(net, prepare, images, scale, options) for scale in scales)  # type: ignore[assignment]
    if options.score == "logit":
        return F.log_softmax(total / (2 * len(scales)), 1)
    return (total / total.sum(1, keepdim=True)).clamp_min(torch.finfo(torch.float32).tiny).log()


def sum_maxima(
    net: SlidingNetwork, prepare: Callable[[Tensor], Tensor], images: Sequence[Tensor], scale: int, options: DenseViews
) -> Tensor:
    """(N, classes): maxima over all windows at a scale, of each image plus its reflection."""
    parts, order = [], []
    for sides, numbers in group_by_sides(images, net.window, scale, options.aspect).items():
        for batch in split_batches(numbers, sides, images[0].device):
            pictures = prepare(stack_resized([images[i] for i in batch], sides, options.aspect))
            plain, reflected = (
                score_windows(dense_logits(net, view, options.stride), options.score).amax((2, 3))
                for view in (pictures, pictures.flip(3))
            )
            parts.append(plain + reflected)
            order += batch
    return torch.cat(parts)[torch.tensor(order).argsort()]


class ScaleMap(NamedTuple):
    """Image at one scale: `picture` (3, H, W) float32, 0 … 255; `scores` (classes, rows, columns), one per window."""

    picture: Tensor
    scores: Tensor


def confidence_maps(
    net: SlidingNetwork, prepare: Callable[[Tensor], Tensor], image: Tensor, options: DenseViews
) -> list[ScaleMap]:
    """Scores of every window of an image (3, H, W) uint8 at each scale, without reflections."""
    maps = []
    for scale in options.scales:
        picture = resize_to_sides(image, target_sides(image, net.window, scale, options.aspect), options.aspect)
        logits = dense_logits(net, prepare(picture[None]), options.stride)
        maps.append(ScaleMap(picture, score_windows(logits, options.score)[0]))
    return maps


def split_batches(numbers: list[int], sides: tuple[int, int], device: torch.device) -> Iterator[list[int]]:
    """Split image numbers into batches of at most `PIXELS_PER_BATCH` pixels, at least one image each."""
    batch_size = max(1, PIXELS_PER_BATCH.get(device.type, PIXELS_PER_BATCH["cpu"]) // (sides[0] * sides[1]))
    for start in range(0, len(numbers), batch_size):
        yield numbers[start : start + batch_size]
