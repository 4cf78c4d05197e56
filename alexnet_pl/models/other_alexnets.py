"""AlexNet as defined by Caffe and torchvision, for weights that were trained with them."""

from torch import nn

from alexnet_pl.models.alexnet import AlexNet, scale_even_width
from alexnet_pl.models.layers import LocalResponseNorm
from alexnet_pl.models.sliding_window import WindowGeometry


class CaffeAlexNet(AlexNet):
    """Caffe's `bvlc_alexnet`: the paper's kernels and groups, crops of 227 pixels, each norm after its ReLU, over the
    maps of both towers, with k = 1 where the paper has 2, and no norm over pixels."""

    def __init__(self, num_classes: int = 1000, crop: int = 227, dropout: float = 0.5, width: float = 1) -> None:
        super().__init__(
            num_classes,
            crop,
            dropout=dropout,
            width=width,
            relu_after_pool1=False,
            norm_per_tower=False,
            spatial_norm=False,
            wide_init=False,
        )
        self.norm1, self.norm2 = LocalResponseNorm(k=1), LocalResponseNorm(k=1)


class TorchvisionAlexNet(AlexNet):
    """torchvision's `alexnet`, the network of "One weird trick" (Krizhevsky, 2014): 64, 192, 384, 256 and 256 kernels
    that read all maps, padding of two pixels around the image, no norms."""

    def __init__(self, num_classes: int = 1000, crop: int = 224, dropout: float = 0.5, width: float = 1) -> None:
        super().__init__(
            num_classes,
            crop,
            towers=1,
            norm=False,
            dropout=dropout,
            width=width,
            relu_after_pool1=False,
            wide_init=False,
        )
        maps = [3, *(scale_even_width(kernels, width) for kernels in (64, 192, 384, 256, 256))]
        shapes = {"conv1": (11, 4, 2), "conv2": (5, 1, 2), "conv3": (3, 1, 1), "conv4": (3, 1, 1), "conv5": (3, 1, 1)}
        for (name, (side, stride, padding)), before, kernels in zip(shapes.items(), maps[:-1], maps[1:], strict=True):
            setattr(self, name, nn.Conv2d(before, kernels, side, stride, padding))
        self.edge_padding = 0
        self.reset_parameters()

    @property
    def padded_side(self) -> int:
        return self.crop + 4

    @property
    def window(self) -> WindowGeometry:
        raise ValueError("name=torchvision: zeros around the image, which a sliding window would not have")
