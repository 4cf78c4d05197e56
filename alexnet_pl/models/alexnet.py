"""AlexNet (Figure 2; §4; §3 of 2012) with the dropout of §5.2, the initial weights of §6, and the paper's variants."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.models.input_shape import check_input_shape
from alexnet_pl.models.layers import Dropout, LocalResponseNorm, SpatialNorm
from alexnet_pl.models.sliding_window import WindowGeometry

ACTIVATIONS = {"relu": F.relu, "tanh": torch.tanh}
REMOVABLE = ("conv2", "conv3", "conv4", "conv5")
LAYERS = ("conv1", *REMOVABLE, "conv6", "fc6", "fc7", "bottleneck", "fc8")
UNIT_BIASES = ("conv2", "conv4", "conv5", "conv6", "fc6", "fc7")  # §6; conv6 by the program's layers-146-2009.cfg


class AlexNet(nn.Module):
    """Five convolutional and three fully connected layers; 60,965,224 parameters, "60 million" in the abstract.

        layer   kernels              input      output             followed by (as run)
        image                                   (N,   3, 224, 224) 3 rows and columns of zeros, right and bottom
        conv1    96 of 11×11 by 4    all maps   (N,  96,  55,  55) norm, pool to 27×27, ReLU
        conv2   256 of 5×5           own tower  (N, 256,  27,  27) ReLU, norm, spatial norm, pool to 13×13
        conv3   384 of 3×3           all maps   (N, 384,  13,  13) ReLU
        conv4   384 of 3×3           own tower  (N, 384,  13,  13) ReLU
        conv5   256 of 3×3           own tower  (N, 256,  13,  13) ReLU, pool to 6×6
        (conv6) 256 of 3×3           all maps   (N, 256,   6,   6) ReLU
        fc6     4096                            (N, 4096)          ReLU, dropout
        fc7     4096                            (N, 4096)          ReLU, dropout
        fc8     num_classes                     (N, num_classes)   logits

    "Own tower": the maps are split over two GPUs, which communicate only at layers that read all maps (§4.2). Grouped
    convolutions compute the same function on one device.

    Arguments for the paper's variants:

        towers      1: the one-GPU net, "half as many kernels" except in conv5 and the fully connected layers
                    (footnote b)
        norm        False: none of the three norms (§4.3)
        overlap     False: pooling of 2×2 every 2 (§4.4), with conv2 padded by 1, conv5 by 0 and sizes rounded up, as
                    the authors' layers-147.cfg keeps "equivalent dimensions"
        without     name of the layer to remove, conv2 … conv5 (§8); the next layer takes over its input, the pooling
                    after it stays, its norms are removed with it
        activation  tanh in place of ReLU (§4.1)
        dropout     0: none (§5.2)
        conv6       the sixth layer "over the last pooling layer" of the pre-trained nets (§7)
        bottleneck  units of a linear layer between fc7 and fc8; 2048 in the authors' 21,843-class net
        crop        side of the input image in pixels; 224 in the paper
        width       share of the paper's kernels and units in every layer but the last; below 1 for small proxies
        unit_biases layers whose biases start at 1, "providing the ReLUs with positive inputs" (§6); those of others
                    start at 0

    Arguments for differences between the authors' program (the default) and the printed text (False):

        relu_after_pool1   False: ReLU directly after conv1, so that the norm's input is never negative
        norm_per_tower     False: norms sum across the two GPUs' maps
        alpha_over_n       False: α undivided, five times as strong
        spatial_norm       False: no norm over pixels
        wide_init          False: standard deviation 0.01 in conv3 … conv6 too, not 0.03

    Raises ValueError, naming the argument, for a network that cannot be built.
    """

    conv1: nn.Conv2d

    def __init__(
        self,
        num_classes: int = 1000,
        crop: int = 224,
        towers: int = 2,
        norm: bool = True,
        overlap: bool = True,
        without: str | None = None,
        activation: str = "relu",
        dropout: float = 0.5,
        conv6: bool = False,
        bottleneck: int = 0,
        width: float = 1,
        unit_biases: tuple[str, ...] = UNIT_BIASES,
        relu_after_pool1: bool = True,
        norm_per_tower: bool = True,
        alpha_over_n: bool = True,
        spatial_norm: bool = True,
        wide_init: bool = True,
    ) -> None:
        super().__init__()
        check_alexnet_options(num_classes, bottleneck, towers, without, activation, dropout, width, unit_biases)
        self.num_classes, self.towers, self.crop, self.overlap = num_classes, towers, crop, overlap
        self.width, self.unit_biases = width, unit_biases
        self.activation, self.relu_after_pool1, self.wide_init = ACTIVATIONS[activation], relu_after_pool1, wide_init
        self.edge_padding = (11 - crop) % 4
        # the order of the layers decides which random numbers their initial weights get, and is saved in checkpoints
        maps = self.add_convolutions(without)
        self.add_norms(norm, towers if norm_per_tower else 1, alpha_over_n, spatial_norm)
        self.pool = nn.MaxPool2d(3, stride=2) if overlap else nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.add_classifier(maps, conv6, bottleneck, dropout)
        self.reset_parameters()

    def add_convolutions(self, without: str | None) -> int:
        """Add conv1 to conv5, except `without`; return the number of maps of the last one."""
        first, second, third, fourth, fifth = (
            scale_even_width(count, self.width)
            for count in ((96, 256, 384, 384, 256) if self.towers == 2 else (48, 128, 192, 192, 256))
        )
        specs = {  # kernels, their side, stride, padding, groups
            "conv1": (first, 11, 4, 0, 1),
            "conv2": (second, 5, 1, 2 if self.overlap else 1, self.towers),
            "conv3": (third, 3, 1, 1, 1),
            "conv4": (fourth, 3, 1, 1, self.towers),
            "conv5": (fifth, 3, 1, 1 if self.overlap else 0, self.towers),
        }
        maps = 3
        for name, (kernels, side, stride, padding, groups) in specs.items():
            if name != without:
                setattr(self, name, nn.Conv2d(maps, kernels, side, stride, padding, groups=groups))
                maps = kernels
        self.upper_convs = [name for name in ("conv3", "conv4", "conv5") if name != without]
        return maps

    def add_norms(self, norm: bool, towers: int, alpha_over_n: bool, spatial_norm: bool) -> None:
        """Add the norms after conv1 and conv2. `towers`: groups of maps that no sum crosses."""
        self.norm1 = LocalResponseNorm(towers=towers, alpha_over_n=alpha_over_n) if norm else nn.Identity()
        self.norm2 = LocalResponseNorm(towers=towers, alpha_over_n=alpha_over_n) if norm else nn.Identity()
        self.spatial2 = SpatialNorm() if norm and spatial_norm else nn.Identity()

    def add_classifier(self, maps: int, conv6: bool, bottleneck: int, dropout: float) -> None:
        """Add the layers after the last pooling, whose output has `maps` maps."""
        units = scale_even_width(4096, self.width)
        self.conv6 = nn.Conv2d(maps, scale_even_width(256, self.width), 3, padding=1) if conv6 else None
        maps = maps if self.conv6 is None else self.conv6.out_channels
        self.fc6 = nn.Linear(maps * self.pooled_side**2, units)
        self.fc7 = nn.Linear(units, units)
        self.drop = Dropout(dropout)
        self.bottleneck = nn.Linear(units, bottleneck) if bottleneck else None
        self.fc8 = nn.Linear(bottleneck or units, self.num_classes)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialize as in §6: weights from N(0, σ²); biases 1 in the layers of `unit_biases`, else 0. By default:

        layer        conv1  conv2  conv3  conv4  conv5  conv6  fc6   fc7   bottleneck  fc8
        σ, program    .01    .01    .03    .03    .03    .03   .01   .01      .01      .01
        σ, printed    .01    .01    .01    .01    .01    .01   .01   .01      .01      .01
        bias           0      1      0      1      1      1     1     1        0        0

        With `width`, σ is divided by its square root in every layer but conv1, so that sums of fewer inputs keep the
        spread of the paper's network.
        """
        for name, layer in self.named_children():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                wide = self.wide_init and name in ("conv3", "conv4", "conv5", "conv6")
                fewer_inputs = 1 if name == "conv1" else self.width**-0.5
                nn.init.normal_(layer.weight, std=(0.03 if wide else 0.01) * fewer_inputs)
                layer.bias.fill_(float(name in self.unit_biases))

    @property
    def pooled_side(self) -> int:
        """Side of the last pooling's output in pixels; 6 for crops of 224."""
        side = self.side_after_pool((self.padded_side - 11) // 4 + 1)
        for name in ("conv2", *self.upper_convs):
            if conv := getattr(self, name, None):
                side += 2 * conv.padding[0] - conv.kernel_size[0] + 1
            if name == "conv2":
                side = self.side_after_pool(side)
        side = self.side_after_pool(side)
        if side < 1:
            raise ValueError(f"crop={self.crop}: too few pixels for five convolutions and three poolings")
        return side

    def side_after_pool(self, side: int) -> int:
        return (side - 3) // 2 + 1 if self.overlap else (side + 1) // 2

    @property
    def padded_side(self) -> int:
        """Side of conv1's input in pixels, with the zeros around it."""
        return self.crop + self.edge_padding

    def last_maps(self, image: Tensor) -> Tensor:
        """Linear outputs of conv5, unpooled: (N, 3, crop, crop), pixels 0 … 255 minus their mean → (N, 256, 13, 13).

        As in the program, conv1 has 1 + ceil((crop − 11)/4) windows per side and reads zeros beyond the edge
        (layer.py:1004). That is 55 for 224 pixels, and also for the 227 of other programs, which need no padding.
        """
        x = self.conv1(F.pad(image, (0, self.edge_padding, 0, self.edge_padding)))
        activation = self.activation
        x = activation(self.pool(self.norm1(x))) if self.relu_after_pool1 else self.pool(self.norm1(activation(x)))
        if conv2 := getattr(self, "conv2", None):
            x = self.spatial2(self.norm2(activation(conv2(x))))
        x = self.pool(x)
        for name in self.upper_convs[:-1]:
            x = activation(getattr(self, name)(x))
        return getattr(self, self.upper_convs[-1])(x)

    def conv_maps(self, image: Tensor) -> Tensor:
        """Input of fc6: (N, 3, crop, crop), pixels 0 … 255 minus their mean → (N, 256, 6, 6)."""
        activation = self.activation
        x = activation(self.pool(self.last_maps(image)))  # a maximum commutes with a monotone function
        return activation(self.conv6(x)) if self.conv6 is not None else x

    def features(self, image: Tensor) -> Tensor:
        """Activations of fc7, the features that Figure 4 compares (§7.1): (N, 3, crop, crop) → (N, 4096).

        Raises ValueError for images of another size.
        """
        check_input_shape(image, self.crop)
        x = self.drop(self.activation(self.fc6(self.conv_maps(image).flatten(1))))
        return self.activation(self.fc7(x))

    def forward(self, image: Tensor) -> Tensor:
        """Logits: (N, 3, crop, crop), pixels 0 … 255 minus their mean → (N, num_classes). Raises ValueError for images
        of another size."""
        x = self.drop(self.features(image))
        return self.fc8(x if self.bottleneck is None else self.bottleneck(x))

    @property
    def window(self) -> WindowGeometry:
        """Geometry of the network as a sliding window, a use that is not in the paper. Raises ValueError if `overlap`
        is False, because the last pooling then cuts its windows off at a crop's edge."""
        if not self.overlap:
            raise ValueError("overlap=false: pooling that is cut off at the edge has no windows beyond it")
        stride = self.pool.stride
        assert isinstance(stride, int)
        return WindowGeometry(self.crop, 224, 4 * stride**3, 3, stride, self.pooled_side)

    def convolve(self, image: Tensor) -> Tensor:
        """Outputs of conv5 before pooling, for images of any size: (N, 3, H, W) → (N, 256, h, w)."""
        return self.activation(self.last_maps(image))

    def convolve_pooled(self, pooled: Tensor, dilation: int = 1) -> Tensor:
        """Apply conv6, if there is one, to pooled maps of conv5: (N, 256, h, w) → the same shape. `dilation`: stride of
        the last pooling if the maps were pooled at stride 1, else 1."""
        if self.conv6 is None:
            return pooled
        x = F.conv2d(pooled, self.conv6.weight, self.conv6.bias, padding=dilation, dilation=dilation)
        return self.activation(x)

    def classify(self, maps: Tensor, dilation: int = 1) -> Tensor:
        """Apply the fully connected layers as convolutions: outputs of `convolve_pooled` (N, 256, h, w) → logits
        (N, classes, h′, w′). `dilation`: as there."""
        act = self.activation
        kernels = self.fc6.weight.unflatten(1, (-1, *2 * (self.window.classifier,)))
        x = self.drop(act(F.conv2d(maps, kernels, self.fc6.bias, dilation=dilation)))
        x = self.drop(act(as_convolution(self.fc7, x)))
        return as_convolution(self.fc8, x if self.bottleneck is None else as_convolution(self.bottleneck, x))


def as_convolution(layer: nn.Linear, maps: Tensor) -> Tensor:
    """Apply a fully connected layer at every position of maps: (N, inputs, h, w) → (N, outputs, h, w)."""
    return F.conv2d(maps, layer.weight[:, :, None, None], layer.bias)


def scale_even_width(count: int, width: float) -> int:
    """Kernels or units of a layer that has `count` in the paper: an even number, so that two towers share them."""
    return max(2, 2 * round(count * width / 2))


def check_alexnet_options(
    num_classes: int,
    bottleneck: int,
    towers: int,
    without: str | None,
    activation: str,
    dropout: float,
    width: float,
    unit_biases: Sequence[str],
) -> None:
    """Raise ValueError, naming the argument, if `AlexNet` cannot be built with these."""
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}: at least 1")
    if bottleneck < 0:
        raise ValueError(f"bottleneck={bottleneck}: at least 0")
    if towers not in (1, 2):
        raise ValueError(f"towers={towers}: 1 or 2")
    if without not in (None, *REMOVABLE):
        raise ValueError(f"without={without}: one of {', '.join(REMOVABLE)}, or null")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation}: one of {', '.join(ACTIVATIONS)}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}: at least 0 and below 1")
    if not 0 < width <= 4:
        raise ValueError(f"width={width}: above 0, and at most 4")
    if unknown := [name for name in unit_biases if name not in LAYERS]:
        raise ValueError(f"unit_biases={','.join(unit_biases)}: {unknown[0]} is none of {', '.join(LAYERS)}")
