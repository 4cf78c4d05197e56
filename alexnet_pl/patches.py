"""What the first layer answers to (§7.1): the places of images at which each of its kernels responds most."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.model import AlexNet
from alexnet_pl.module import Classifier


class Patches(NamedTuple):
    """Of K kernels, the `count` images' places with the strongest responses, the strongest first."""

    pixels: Tensor  # (K, count, 3, 11, 11) uint8
    responses: Tensor  # (K, count), of the convolution alone: before norm and ReLU
    images: Tensor  # (K, count) int64, whose they are


@torch.inference_mode()
def responses(module: Classifier, images: Tensor) -> Tensor:
    """(N, 3, size, size) uint8 → (N, K, side, side), of the centre view."""
    (view,) = module.augment.views(images, "center")
    fill = module.net.fill if isinstance(module.net, AlexNet) else 0
    return module.net.conv1(F.pad(view, (0, fill, 0, fill)))


def strongest(module: Classifier, images: Tensor, kernels: Tensor, count: int = 8) -> Patches:
    """Of `kernels`, (K,) numbers, each image's strongest place only, so that no image fills a row."""
    answers = responses(module, images)[:, kernels]
    values, where = answers.flatten(2).max(2)  # (N, K)
    values, chosen = values.topk(min(count, len(images)), dim=0)
    places = where.gather(0, chosen)
    conv, width = module.net.conv1, answers.shape[3]
    down, right = (places // width * conv.stride[0], places % width * conv.stride[0])
    seen = framed(module, images)
    side = conv.kernel_size[0]
    pixels = [seen[i, :, y : y + side, x : x + side] for i, y, x in triples(chosen, down, right)]
    return Patches(torch.stack(pixels).unflatten(0, (len(kernels), -1)), values.T, chosen.T)


def triples(*tables: Tensor) -> list[tuple[int, ...]]:
    """Of (count, K) tables the entries that belong together, kernel after kernel."""
    return list(zip(*(table.T.flatten().tolist() for table in tables), strict=True))


def framed(module: Classifier, images: Tensor) -> Tensor:
    """The centre view's own pixels with what the convolution's windows may reach beyond them, black."""
    crop, conv = module.augment.crop, module.net.conv1
    start, before = (module.augment.size - crop) // 2, int(conv.padding[0])
    seen = images[:, :, start : start + crop, start : start + crop]
    after = before + conv.kernel_size[0]
    return F.pad(seen, (before, after, before, after))
