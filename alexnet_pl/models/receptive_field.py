"""Receptive fields: the square of the input image that a unit of a convolutional layer reads."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from alexnet_pl.models.hooks import forward_hooks


class ReceptiveField(NamedTuple):
    """Receptive field in pixels: a unit in row r reads rows start + stride · r … start + stride · r + size − 1, and
    likewise for columns."""

    size: int
    stride: int
    start: int  # negative where the first unit's field reaches beyond the image

    def after(self, kernel: int, stride: int, padding: int) -> "ReceptiveField":
        """Receptive field after a further convolution or pooling."""
        return ReceptiveField(
            self.size + (kernel - 1) * self.stride, self.stride * stride, self.start - padding * self.stride
        )

    def first_pixel(self, unit: int) -> int:
        return self.start + self.stride * unit


def receptive_fields(net: nn.Module, crop: int) -> dict[str, ReceptiveField]:
    """Receptive field of each convolution by name, from the convolutions and poolings in one forward pass.

    Norms over neighboring pixels, which weakly reach two cells further, are not counted. Poolings must be modules, as
    in AlexNet.
    """
    names = {module: name for name, module in net.named_children()}
    field, found = ReceptiveField(1, 1, 0), {}

    def note(module: nn.Module, _inputs: object, _output: Tensor) -> None:
        nonlocal field
        assert isinstance(module, nn.Conv2d | nn.MaxPool2d)
        kernel, stride, padding = (side(value) for value in (module.kernel_size, module.stride, module.padding))
        field = field.after(kernel, stride, padding)
        if isinstance(module, nn.Conv2d):
            found[names[module]] = field

    layers = [module for module in names if isinstance(module, nn.Conv2d | nn.MaxPool2d)]
    like = next(net.parameters())
    with forward_hooks((module, note) for module in layers), torch.inference_mode():
        net(torch.zeros(1, 3, crop, crop, device=like.device, dtype=like.dtype))
    return found


def side(value: object) -> int:
    """Side of a square kernel, stride or padding, given as one number or two."""
    number = value[0] if isinstance(value, tuple) else value
    assert isinstance(number, int)
    return number
