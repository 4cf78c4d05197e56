"""Sliding-window geometry (OverFeat §3.3): the pixels that each position of a network's dense output map covers."""

from typing import NamedTuple, Protocol

from torch import Tensor


class WindowGeometry(NamedTuple):
    """Geometry of a network as a sliding window over an image. For OverFeat's accurate network:

    window       221   side of the window in pixels, equal to the training crop
    published    221   the same for the paper's network; differs from `window` if the network is a smaller version
    stride        36   pixels between windows at the coarse stride, one window per output of the last pooling
    pool           3   side of the last pooling
    pool_stride    3   stride of the last pooling; the fine stride is stride / pool_stride
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


class SlidingNetwork(Protocol):
    """Classifier that can be applied at every position of an image."""

    window: WindowGeometry

    def convolve(self, image: Tensor) -> Tensor:
        """Rectified maps of the last convolution, before pooling: (N, 3, H, W) → (N, maps, h, w)."""
        ...

    def convolve_pooled(self, pooled: Tensor, dilation: int = 1) -> Tensor:
        """Layers after the last pooling that keep the maps' sides and so read zeros around them: (N, maps, h, w) → the
        same shape. They need whole maps, not strips of them."""
        ...

    def classify(self, maps: Tensor, dilation: int = 1) -> Tensor:
        """Outputs of `convolve_pooled` (N, maps, h, w) → logits (N, classes, h′, w′)."""
        ...
