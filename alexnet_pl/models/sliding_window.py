"""Sliding window of a network (OverFeat §3.3): which pixels each place of its dense output map answers for."""

from typing import NamedTuple, Protocol

from torch import Tensor


class WindowGeometry(NamedTuple):
    """A network as a sliding window over its image. For OverFeat's accurate network:

    window       221   pixels of a side: the crop that it was trained on
    published    221   the same of the paper's network, of which this may be a smaller member
    stride        36   pixels between windows at the coarse stride, one an output of the last pooling
    pool           3   side of the last pooling
    pool_stride    3   its stride: so many times finer are windows at the fine stride
    classifier     5   side of the first fully connected layer's kernel, on pooled maps
    """

    window: int
    published: int
    stride: int
    pool: int
    pool_stride: int
    classifier: int

    @property
    def fine_stride(self) -> int:
        """Pixels between windows at the fine stride: 12."""
        return self.stride // self.pool_stride

    @property
    def map_side(self) -> int:
        """Cells of the maps before the last pooling that one window reads: 15."""
        return self.pool + self.pool_stride * (self.classifier - 1)


class SlidingNetwork(Protocol):
    """A classifier that can be applied at every place of an image."""

    window: WindowGeometry

    def convolve(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, maps, h, w): the last convolution's maps before their pooling, rectified."""
        ...

    def classify(self, pooled: Tensor, dilation: int = 1) -> Tensor:
        """(N, maps, h, w) pooled → (N, classes, h′, w′) logits."""
        ...
