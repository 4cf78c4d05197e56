"""ForeignNetwork: imported weights with the config of the network they fit, and checks of their layers."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.identity import Settings
from alexnet_pl.errors import UserError
from alexnet_pl.models.alexnet import AlexNet

NAMES = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@dataclass(frozen=True)
class ForeignNetwork:
    """Weights that another program trained, under the names of this package.

    `model`, `augment`: values of these config sections; `tensors`: name → float32 tensor of the network; `order`:
    description of the program's class order; `mean`: (3, size, size) or (3, 1, 1), RGB, from 0 to 255, or None if the
    format does not fix it; `number_order`: whether outputs are in the order of ILSVRC class numbers."""

    model: Settings
    augment: Settings
    tensors: dict[str, Tensor]
    order: str = "sorted WordNet ids"
    mean: np.ndarray | None = None
    number_order: bool = False

    @property
    def outputs(self) -> int:
        return len(self.tensors["fc8.bias"])


@dataclass
class ConvSettings:
    """Settings of a convolution in a file of weights; None for those that the format does not have."""

    stride: int | None = None
    padding: int | None = None
    groups: int | None = None
    kernel: int | None = None


def check_conv(file: object, name: str, found: ConvSettings, net: AlexNet) -> None:
    """Raise UserError if a convolution of the file differs from the network's layer of that name."""
    conv = net.get_submodule(name)
    assert isinstance(conv, torch.nn.Conv2d)
    assert not isinstance(conv.padding, str)
    wanted = {
        "stride": conv.stride[0],
        "padding": conv.padding[0],
        "groups": conv.groups,
        "kernel": conv.kernel_size[0],
    }
    for key, value in wanted.items():
        actual = getattr(found, key)
        if actual is not None and actual != value:
            raise UserError(f"{file}: {name} has {key} {actual}, AlexNet has {value}; this is another network")


def undo_inverted_dropout(tensors: dict[str, Tensor], layers: Iterable[str] = ("fc7", "fc8")) -> dict[str, Tensor]:
    """Double the weights of the layers above dropout, which is exact in floating point.

    Other programs divide activations by 1 − p = 1/2 during training. This package multiplies them by it at test time,
    as in the paper (§5.2), so doubled weights give the same outputs.
    """
    return tensors | {name: 2 * tensors[name] for name in (f"{layer}.weight" for layer in layers)}


def check_shapes(file: object, tensors: dict[str, Tensor], net: AlexNet) -> None:
    """Raise UserError, naming the first layer, if the tensors do not fit the network or are not finite."""
    for name, parameter in net.named_parameters():
        if name not in tensors:
            raise UserError(f"{file}: has no {name}; this is not AlexNet")
        if tensors[name].shape != parameter.shape:
            actual, wanted = tuple(tensors[name].shape), tuple(parameter.shape)
            raise UserError(f"{file}: {name} has shape {actual}, but {wanted} in AlexNet; this is another network")
        if not tensors[name].isfinite().all():
            raise UserError(f"{file}: {name} has values that are not finite; the file is corrupt")
