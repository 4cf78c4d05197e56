"""OverFeat's fast and accurate networks (Sermanet et al. 2013, §3.2, Tables 1 and 3), and smaller versions of them."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.models.input_shape import check_input_shape
from alexnet_pl.models.layers import Dropout
from alexnet_pl.models.sliding_window import WindowGeometry

INITS = ("normal", "he")


class ConvSpec(NamedTuple):
    """Convolutional layer. `pool`: side and stride of the max-pooling that follows it, 1 for none."""

    maps: int
    kernel: int
    stride: int
    padding: int
    pool: int


class OverFeatLayout(NamedTuple):
    """Layers of a network. `crop`: side of the training crop in pixels; `units`: sizes of the two fully connected
    layers before the last."""

    crop: int
    convolutions: tuple[ConvSpec, ...]
    units: tuple[int, int]


PLANS = {
    "fast": OverFeatLayout(
        231,
        (
            ConvSpec(96, 11, 4, 0, 2),
            ConvSpec(256, 5, 1, 0, 2),
            ConvSpec(512, 3, 1, 1, 1),
            ConvSpec(1024, 3, 1, 1, 1),
            ConvSpec(1024, 3, 1, 1, 2),
        ),
        (3072, 4096),
    ),
    "accurate": OverFeatLayout(
        221,
        (
            ConvSpec(96, 7, 2, 0, 3),
            ConvSpec(256, 7, 1, 0, 2),
            ConvSpec(512, 3, 1, 1, 1),
            ConvSpec(512, 3, 1, 1, 1),
            ConvSpec(1024, 3, 1, 1, 1),
            ConvSpec(1024, 3, 1, 1, 3),
        ),
        (4096, 4096),
    ),
}


class OverFeat(nn.Module):
    """OverFeat's classifier. On a larger image the same weights give a map of outputs, one per window (§3.3).

        fast, 145,920,872 parameters                       accurate, 144,656,488 parameters
        image                      (N,    3, 231, 231)     image                     (N,    3, 221, 221)
        conv1    96 of 11×11 by 4, pool 2  28 × 28         conv1    96 of 7×7 by 2, pool 3  36 × 36
        conv2   256 of 5×5, pool 2         12 × 12         conv2   256 of 7×7, pool 2       15 × 15
        conv3   512 of 3×3                 12 × 12         conv3   512 of 3×3               15 × 15
        conv4  1024 of 3×3                 12 × 12         conv4   512 of 3×3               15 × 15
        conv5  1024 of 3×3                 12 × 12         conv5  1024 of 3×3               15 × 15
                                                           conv6  1024 of 3×3               15 × 15
        then pool 2                         6 × 6          then pool 3                       5 × 5
        fc6    3072 of 6×6                  1 × 1          fc7    4096 of 5×5                1 × 1
        fc7    4096, fc8  num_classes       1 × 1          fc8    4096, fc9  num_classes     1 × 1

    ReLU after every layer but the last; max-pooling never overlaps; no response normalization, no groups. The first
    two layers have no padding, the 3×3 ones pad by 1. Dropout follows the two fully connected layers before the last.
    "Layer 5" in the paper is the last convolution of either network.

        net      fast or accurate
        crop     side of the training crop in pixels, by default the paper's. With a k × k kernel in the first fully
                 connected layer it must be 71 + 32 · (k − 1) for fast, 77 + 36 · (k − 1) for accurate; smaller crops
                 give smaller networks
        width    share of the maps and units of each layer but the last: 0.25 for a small proxy
        dropout  0: none
        init     normal: N(0, 0.01²) in every layer, as printed (§3.1). he: N(0, 2 / inputs), which keeps the scale of
                 signals through deep layers (docs/development/log.md compares the two)
        sigma    divisor of the pixels after the mean is subtracted. The paper gives no unit; the released feature
                 extractor divides by 61.896913
    """

    conv1: nn.Conv2d

    def __init__(
        self,
        num_classes: int = 1000,
        crop: int | None = None,
        net: str = "accurate",
        width: float = 1.0,
        dropout: float = 0.5,
        init: str = "normal",
        sigma: float = 61.896913,
    ) -> None:
        super().__init__()
        check_overfeat_options(num_classes, net, width, dropout, init, sigma)
        plan = PLANS[net]
        crop = plan.crop if crop is None else crop
        self.num_classes, self.crop, self.sigma, self.kind = num_classes, crop, sigma, net
        self.pools = [spec.pool for spec in plan.convolutions]
        self.window = window_geometry(net, crop)

        maps = 3
        self.convolutions: list[str] = []
        for number, spec in enumerate(plan.convolutions, 1):
            self.convolutions.append(f"conv{number}")
            kernels = scale_width(spec.maps, width)
            setattr(self, f"conv{number}", nn.Conv2d(maps, kernels, spec.kernel, spec.stride, spec.padding))
            maps = kernels
        self.head: list[str] = []
        kernel, units = self.window.classifier, [scale_width(count, width) for count in plan.units]
        for number, outputs in enumerate((*units, num_classes), len(self.convolutions) + 1):
            self.head.append(f"fc{number}")
            setattr(self, f"fc{number}", nn.Conv2d(maps, outputs, kernel))
            maps, kernel = outputs, 1
        self.drop = Dropout(dropout)
        self.reset_parameters(init)

    @torch.no_grad()
    def reset_parameters(self, init: str) -> None:
        """Initialize weights from N(0, 0.01²) as in §3.1 (`normal`) or from N(0, 2 / inputs) (`he`), and biases to 0,
        which the paper does not specify."""
        for layer in self.children():
            if isinstance(layer, nn.Conv2d):
                deviation = 0.01 if init == "normal" else math.sqrt(2 / layer.weight[0].numel())
                nn.init.normal_(layer.weight, std=deviation)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def convolve(self, image: Tensor) -> Tensor:
        """Rectified maps of layer 5 *before* its pooling (§3.3): (N, 3, H, W), pixels 0 … 255 minus their mean, H and W
        at least the crop → (N, maps, h, w); 15 × 15 for a 221 × 221 image."""
        x = image / self.sigma
        for name, pool in zip(self.convolutions[:-1], self.pools, strict=False):
            x = getattr(self, name)(x)
            x = F.relu(F.max_pool2d(x, pool) if pool > 1 else x)  # a maximum commutes with a monotone function
        return F.relu(getattr(self, self.convolutions[-1])(x))

    def convolve_pooled(self, pooled: Tensor, dilation: int = 1) -> Tensor:
        """The maps unchanged: no convolution follows the last pooling."""
        return pooled

    def classify(self, maps: Tensor, dilation: int = 1) -> Tensor:
        """Apply the fully connected layers, the first with a k × k kernel, at every position of layer 5's *pooled*
        maps: (N, maps, h, w) → logits (N, classes, h − d(k − 1), w − d(k − 1)). `dilation` d: stride of the last
        pooling if the maps were pooled at stride 1 (§3.3), else 1."""
        first = getattr(self, self.head[0])
        dense = dilation > 1
        x = F.relu(F.conv2d(maps, first.weight, first.bias, dilation=dilation) if dense else first(maps))
        x = F.relu(getattr(self, self.head[1])(self.drop(x)))
        return getattr(self, self.head[2])(self.drop(x))

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, crop, crop) → logits (N, classes). Raises ValueError for images of another size."""
        check_input_shape(image, self.crop)
        return self.classify(F.max_pool2d(self.convolve(image), self.pools[-1])).flatten(1)


def window_geometry(net: str, crop: int) -> WindowGeometry:
    """Window, strides and last layers of `fast` or `accurate`. Raises ValueError for a crop that does not fit."""
    plan = PLANS[net]
    stride = math.prod(spec.stride * spec.pool for spec in plan.convolutions)
    smallest, pool = plan.crop - stride * (5 if net == "fast" else 4), plan.convolutions[-1].pool
    if crop < smallest or (crop - smallest) % stride:
        fitting = ", ".join(str(smallest + stride * k) for k in range(6))
        raise ValueError(f"crop={crop}: the {net} network fits {fitting}, … pixels exactly")
    return WindowGeometry(crop, plan.crop, stride, pool, pool, 1 + (crop - smallest) // stride)


def scale_width(count: int, width: float) -> int:
    return max(1, round(count * width))


def check_overfeat_options(num_classes: int, net: str, width: float, dropout: float, init: str, sigma: float) -> None:
    """Raise ValueError, naming the argument, if `OverFeat` cannot be built with these."""
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}: at least 1")
    for name, value, known in (("net", net, PLANS), ("init", init, INITS)):
        if value not in known:
            raise ValueError(f"{name}={value}: one of {', '.join(known)}")
    if not 0 < width <= 4:
        raise ValueError(f"width={width}: above 0 and at most 4")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}: at least 0 and below 1")
    if not sigma > 0:
        raise ValueError(f"sigma={sigma}: above 0")
