"""Dense evaluation (OverFeat §3.3): a network's answers in every window of an image, at several scales.

The paper pools the last convolution's maps 3 × 3 times, each time from another offset, runs the classifier over each
pooled map, and interleaves the nine answers. The same numbers come from one pass: the pooling at stride 1, and the
first fully connected layer as a convolution of dilation 3, whose taps are as far apart as the cells of one offset.

A window near the middle of an image is not quite a crop that the network was trained on: the padded convolutions see
zeros around a crop and its neighbourhood here, up to 48 pixels beyond a window of the accurate network. So it is in
the paper, too.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.config.sections import DenseViews
from alexnet_pl.evaluation.image_scales import by_sides, resize, stack_resized, target_sides
from alexnet_pl.models.sliding_window import SlidingNetwork

PIXELS = {"cpu": 1 << 21, "cuda": 1 << 25}  # of images that go through a network together
CELLS = {"cpu": 1 << 13, "cuda": 1 << 17}  # of answers that are computed together, in strips of a map's rows


def dense_logits(net: SlidingNetwork, pictures: Tensor, stride: str = "fine") -> Tensor:
    """(N, 3, H, W), as the network reads it → (N, classes, rows, columns) logits, one cell a window.

    Cell (i, j) is of the window whose upper left corner lies `window.stride` · (i, j) pixels from the picture's; at the
    fine stride, `window.fine_stride` · (i, j).
    """
    return slide_classifier(net, net.convolve(pictures), stride)


def slide_classifier(net: SlidingNetwork, maps: Tensor, stride: str = "fine") -> Tensor:
    """Maps before the last pooling (N, maps, h, w) → (N, classes, rows, columns) logits."""
    own, fine = net.window, stride == "fine"
    pooled = F.max_pool2d(maps, own.pool, 1 if fine else own.pool_stride)
    dilation = own.pool_stride if fine else 1
    reach = dilation * (own.classifier - 1)  # rows that an answer reads beyond its own
    rows, columns = pooled.shape[2] - reach, pooled.shape[3] - reach
    together = max(1, CELLS.get(maps.device.type, 1 << 13) // (len(maps) * columns))
    strips = [
        net.classify(pooled[:, :, top : min(top + together, rows) + reach], dilation)
        for top in range(0, rows, together)
    ]
    return strips[0] if len(strips) == 1 else torch.cat(strips, 2)


def score_windows(logits: Tensor, score: str) -> Tensor:
    """(N, classes, rows, columns) → the same: softmax outputs of each window, or its logits as they are; float32."""
    return F.softmax(logits.float(), 1) if score == "softmax" else logits.float()


def dense_scores(
    net: SlidingNetwork, prepare: Callable[[Tensor], Tensor], images: Sequence[Tensor], options: DenseViews
) -> Tensor:
    """(3, H, W) uint8 images of any sizes → (N, classes) logarithms of probabilities.

    Of each scale, of the picture and of its reflection, the maximum over all windows for each class; then the mean over
    scales and reflections (steps i and ii). Maxima of softmax outputs do not add up to 1, so their mean is divided by
    its sum, which leaves the order of the classes alone. `prepare` takes pictures from 0 … 255 to what `net` reads.
    """
    whole, count = list(images), 2 * len(options.scales)
    total: Tensor | None = None
    for scale in options.scales:
        for sides, numbers in by_sides(whole, net.window, scale, options.aspect).items():
            for some in chunks(numbers, sides, whole[0].device):
                pictures = prepare(stack_resized([whole[i] for i in some], sides, options.aspect))
                best = sum(
                    score_windows(dense_logits(net, seen, options.stride), options.score).amax((2, 3))
                    for seen in (pictures, pictures.flip(3))
                )
                assert isinstance(best, Tensor)
                if total is None:
                    total = torch.zeros(len(whole), best.shape[1], device=best.device)
                total[some] += best
    assert total is not None
    if options.score == "logit":
        return F.log_softmax(total / count, 1)
    return (total / total.sum(1, keepdim=True)).clamp_min(torch.finfo(torch.float32).tiny).log()


class ScaleMap(NamedTuple):
    """An image at one scale: `picture` (3, H, W) float32, 0 … 255; `scores` (classes, rows, columns), one a window."""

    picture: Tensor
    scores: Tensor


def confidence_maps(
    net: SlidingNetwork, prepare: Callable[[Tensor], Tensor], image: Tensor, options: DenseViews
) -> list[ScaleMap]:
    """Scores in every window of an image (3, H, W) uint8 at each scale, without reflections: where a class is found."""
    found = []
    for scale in options.scales:
        picture = resize(image, target_sides(image, net.window, scale, options.aspect), options.aspect)
        logits = dense_logits(net, prepare(picture[None]), options.stride)
        found.append(ScaleMap(picture, score_windows(logits, options.score)[0]))
    return found


def chunks(numbers: list[int], sides: tuple[int, int], device: torch.device) -> Iterator[list[int]]:
    """As many images at a time as have `PIXELS` pixels together, at least one."""
    together = max(1, PIXELS.get(device.type, 1 << 21) // (sides[0] * sides[1]))
    for start in range(0, len(numbers), together):
        yield numbers[start : start + together]
