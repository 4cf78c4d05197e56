"""CIFAR-10 networks of four layers: Figure 1 (§4.1), and the 13 % and 11 % errors of §4.3.

The paper specifies neither network. `LocalNet` is exactly layers-conv-local-13pct.cfg and -11pct.cfg of cuda-convnet,
the authors' program, as they stood in June 2012. `ConvNet` is its layers-19pct.cfg without weight decay, the only small
four-layer network in the program.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.models.alexnet import ACTIVATIONS
from alexnet_pl.models.input_shape import check_input_shape
from alexnet_pl.models.layers import LocallyConnected, LocalResponseNorm


class ConvNet(nn.Module):
    """Network of Figure 1: three convolutional layers and a fully connected one; 89,578 parameters at 32 × 32 pixels.

        layer   kernels         output             followed by
        image                   (N,  3, 32, 32)
        conv1   32 of 5×5       (N, 32, 32, 32)    max-pool to 16×16, ReLU
        conv2   32 of 5×5       (N, 32, 16, 16)    ReLU, average-pool to 8×8
        conv3   64 of 5×5       (N, 64,  8,  8)    ReLU, average-pool to 4×4
        fc10    num_classes     (N, num_classes)   logits

    Pooling windows are 3×3 with stride 2. At the right and bottom edges they are clipped, and averages are taken over
    the clipped window.
    """

    def __init__(self, num_classes: int = 10, crop: int = 32, activation: str = "relu") -> None:
        super().__init__()
        check_cifar_options(num_classes, crop, activation)
        self.num_classes, self.crop, self.activation = num_classes, crop, ACTIVATIONS[activation]
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc10 = nn.Linear(64 * side_after_pooling(crop, poolings=3) ** 2, num_classes)
        init_weights(self, {"conv1": 0.0001, "conv2": 0.01, "conv3": 0.01, "fc10": 0.01})

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, crop, crop), pixels 0 … 255 minus their mean → (N, num_classes). Raises ValueError for images of
        another size."""
        check_input_shape(image, self.crop)
        x = self.activation(max_pool(self.conv1(image)))
        x = average_pool(self.activation(self.conv2(x)))
        x = average_pool(self.activation(self.conv3(x)))
        return self.fc10(x.flatten(1))


class LocalNet(nn.Module):
    """Network of §4.3: two convolutional and two locally connected layers, and a dense one.

        layer    kernels                             output             followed by
        image                                        (N,  3, 24, 24)
        conv1    64 of 5×5                           (N, 64, 24, 24)    ReLU, max-pool to 12×12, (norm)
        conv2    64 of 5×5                           (N, 64, 12, 12)    ReLU, (norm), max-pool to 6×6
        local3   `local3_maps` of 3×3 at each pixel  (N, 32,  6,  6)    ReLU
        local4   32 of 3×3 at each pixel             (N, 32,  6,  6)    ReLU
        fc10     num_classes                         (N, num_classes)   logits

    The file of 13 % has no norms and 32 maps in local3; that of 11 % has `norm` and 64 maps. Its norms have k = 1,
    n = 9, α = 0.001 / n, β = 0.75, not the constants printed for ImageNet; k is a constant of cuda-convnet's kernel.
    """

    def __init__(
        self,
        num_classes: int = 10,
        crop: int = 24,
        activation: str = "relu",
        norm: bool = False,
        local3_maps: int = 32,
    ) -> None:
        super().__init__()
        check_cifar_options(num_classes, crop, activation)
        if local3_maps < 1:
            raise ValueError(f"local3_maps={local3_maps}: at least 1")
        self.num_classes, self.crop, self.activation = num_classes, crop, ACTIVATIONS[activation]
        pixels = side_after_pooling(crop, poolings=2)
        self.conv1 = nn.Conv2d(3, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 64, 5, padding=2)
        self.local3 = LocallyConnected(64, local3_maps, 3, pixels)
        self.local4 = LocallyConnected(local3_maps, 32, 3, pixels)
        self.fc10 = nn.Linear(32 * pixels**2, num_classes)
        self.norm1, self.norm2 = (
            LocalResponseNorm(n=9, k=1.0, alpha=0.001, beta=0.75) if norm else nn.Identity() for _ in range(2)
        )
        init_weights(self, {"conv1": 0.0001, "conv2": 0.01, "local3": 0.04, "local4": 0.04, "fc10": 0.01})

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, crop, crop), pixels 0 … 255 minus their mean → (N, num_classes). Raises ValueError for images of
        another size."""
        check_input_shape(image, self.crop)
        # an activation never decreases, so after the pooling, on a quarter of the pixels, it gives the same result
        x = self.norm1(self.activation(max_pool(self.conv1(image))))
        x = self.conv2(x)
        has_norm = not isinstance(self.norm2, nn.Identity)
        x = max_pool(self.norm2(self.activation(x))) if has_norm else self.activation(max_pool(x))
        x = self.activation(self.local4(self.activation(self.local3(x))))
        return self.fc10(x.flatten(1))


@torch.no_grad()
def init_weights(net: nn.Module, deviations: dict[str, float]) -> None:
    """Initialize weights from N(0, σ²), `initW` in the program's layer files, and biases to 0."""
    for name, deviation in deviations.items():
        layer = net.get_submodule(name)
        nn.init.normal_(layer.weight, std=deviation)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2, ceil_mode=True)


def average_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=2, ceil_mode=True)


def side_after_pooling(crop: int, poolings: int) -> int:
    """Side in pixels after `poolings` of 3×3 windows with stride 2, rounded up."""
    for _ in range(poolings):
        crop = -(-(crop - 3) // 2) + 1
    return crop


def check_cifar_options(num_classes: int, crop: int, activation: str) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}: at least 1")
    if crop < 8:
        raise ValueError(f"crop={crop}: too few pixels for the poolings; at least 8")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation}: one of {', '.join(ACTIVATIONS)}")
