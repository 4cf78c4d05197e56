"""Layers of one of the two towers of §4.2 (§3.2 of 2012): "put half of the kernels on each GPU".

`keep_half` cuts an `AlexNet` in place to the half that one of two processes computes. The halves communicate only where
those of the paper do: the maps of both are gathered before conv3, fc6 and fc7 ("the kernels of layer 3 take input from
all kernel maps in layer 2"), and fc8, which reads half of fc7 on each side, adds up both results.

    layer           keeps                           sends forward     sends backward
    conv1           half of its kernels             nothing           nothing
    conv2, 4, 5     its group                       nothing           nothing
    conv3, fc6, 7   half of its kernels             half of its input  a gradient of the other half of its input
    fc8             the weights of its own inputs   the logits        nothing

A norm across towers (model.norm_per_tower=false) gathers its maps too. Names of layers and parameters do not change.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from alexnet_pl.errors import UserError
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.layers import Dropout, NormLayer
from alexnet_pl.models.local_response_norm import at_least_float32

TOWERS = 2


def own_half(whole: Tensor, axis: int, tower: int) -> Tensor:
    """The first or second half of `whole` along `axis`, as a view."""
    return whole.chunk(TOWERS, dim=axis)[tower]


def gather_halves(half: Tensor, axis: int, group: ProcessGroup) -> Tensor:
    """Gather the halves of both towers, joined along `axis`. Each process sends its own half."""
    dense = half.movedim(axis, -1).contiguous()  # channels-last maps need no copy
    both = dense.new_empty(TOWERS * dense.shape[0], *dense.shape[1:])
    dist.all_gather_into_tensor(both, dense, group=group)
    return torch.cat(both.chunk(TOWERS), dim=-1).movedim(-1, axis)


def sum_to_halves(whole: Tensor, group: ProcessGroup) -> Tensor:
    """(N, C, …) of each tower → (N, C/2, …), this tower's half of their sum. Each process sends the other's half."""
    parts = torch.cat(whole.movedim(1, -1).chunk(TOWERS, dim=-1))
    own = parts.new_empty(len(whole), *parts.shape[1:])
    dist.reduce_scatter_tensor(own, parts, group=group)
    return own.movedim(-1, 1)


class GatherMaps(torch.autograd.Function):
    """(N, C/2, …) of each tower → (N, C, …) on both; backward, gradients of both towers are summed."""

    @staticmethod
    def forward(ctx: Any, half: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return gather_halves(half, 1, group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return sum_to_halves(grads[0], ctx.group), None


class SumOverTowers(torch.autograd.Function):
    """Sum of both towers' values, on both. Its gradient is the same on both towers, so none is sent."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: ProcessGroup) -> Tensor:
        ctx.dtype = part.dtype
        total = at_least_float32(part).clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].to(ctx.dtype), None


class TowerConv2d(nn.Conv2d):
    """Half of a convolution's kernels. With a `group`, they read the maps of both towers, else of their own."""

    group: ProcessGroup | None = None

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input if self.group is None else GatherMaps.apply(input, self.group))


class TowerLinear(nn.Linear):
    """Half of the units of a fully connected layer, which reads all units of both towers."""

    group: ProcessGroup

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(GatherMaps.apply(input, self.group))


class TowerOutput(nn.Linear):
    """Last layer: (N, inputs/2) of each tower → (N, classes) on both."""

    group: ProcessGroup

    def forward(self, input: Tensor) -> Tensor:
        return SumOverTowers.apply(F.linear(input, self.weight), self.group) + self.bias


class TowerDropout(Dropout):
    """Dropout for a tower's half of the units. Both towers draw the mask for all units, so it is the same as on one
    device."""

    def __init__(self, p: float, tower: int) -> None:
        super().__init__(p)
        self.tower = tower

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return super().forward(x)
        mask = F.dropout(x.new_ones(len(x), TOWERS * x.shape[1]), self.p)
        return x * own_half(mask, 1, self.tower) * (1 - self.p)


class NormAcrossTowers(NormLayer):
    """Norm whose sums include maps of the other tower, as in the printed text."""

    def __init__(self, norm: NormLayer, tower: int, group: ProcessGroup) -> None:
        super().__init__()
        self.spec, self.compiled, self.tower, self.group = norm.spec, norm.compiled, tower, group

    def forward(self, a: Tensor) -> Tensor:
        return own_half(super().forward(GatherMaps.apply(a, self.group)), 1, self.tower)


def keep_half(net: nn.Module, tower: int, group: ProcessGroup) -> dict[str, int]:
    """Cut `net` in place to tower 0 or 1 of the two processes in `group`. Returns parameter name → axis along which it
    was cut, without parameters that both towers hold completely.

    Raises UserError for a network without two towers.
    """
    if not isinstance(net, AlexNet) or net.towers != TOWERS:
        raise UserError("trainer.strategy=towers: splits a network with model.towers=2 only")
    if net.bottleneck is not None and net.bottleneck.out_features % TOWERS:
        raise UserError(f"model.bottleneck={net.bottleneck.out_features}: an even number for trainer.strategy=towers")
    axes: dict[str, int] = {}
    for name, layer in list(net.named_children()):
        half = half_of(name, layer, tower, group)
        setattr(net, name, half)
        if isinstance(half, TowerOutput):
            axes[f"{name}.weight"] = 1
        elif isinstance(half, TowerConv2d | TowerLinear):
            axes |= {f"{name}.weight": 0, f"{name}.bias": 0}
    return axes


def half_of(name: str, layer: nn.Module, tower: int, group: ProcessGroup) -> nn.Module:
    """Replacement of `layer` on one tower."""
    if isinstance(layer, nn.Conv2d):
        return half_convolution(layer, tower, None if name == "conv1" or layer.groups == TOWERS else group)
    if isinstance(layer, nn.Linear):
        return half_output(layer, tower, group) if name == "fc8" else half_units(layer, tower, group)
    if isinstance(layer, Dropout):
        return TowerDropout(layer.p, tower)
    if isinstance(layer, NormLayer) and not layer.spec.spatial:
        if layer.spec.towers != TOWERS:
            return NormAcrossTowers(layer, tower, group)
        layer.spec = layer.spec._replace(towers=1)
    return layer


def half_convolution(whole: nn.Conv2d, tower: int, group: ProcessGroup | None) -> TowerConv2d:
    """Half of a convolution. `group`: for gathering the input maps of both towers; None if it reads only its own
    tower's maps or the image."""
    with torch.device("meta"):
        inputs = whole.in_channels // whole.groups
        half = TowerConv2d(inputs, whole.out_channels // TOWERS, whole.kernel_size, whole.stride, whole.padding)  # type: ignore[arg-type]
    half.group = group
    return cut(half, whole, tower, weight_axis=0)


def half_units(whole: nn.Linear, tower: int, group: ProcessGroup) -> TowerLinear:
    with torch.device("meta"):
        half = TowerLinear(whole.in_features, whole.out_features // TOWERS)
    half.group = group
    return cut(half, whole, tower, weight_axis=0)


def half_output(whole: nn.Linear, tower: int, group: ProcessGroup) -> TowerOutput:
    with torch.device("meta"):
        half = TowerOutput(whole.in_features // TOWERS, whole.out_features)
    half.group = group
    return cut(half, whole, tower, weight_axis=1)


def cut(half: Any, whole: Any, tower: int, weight_axis: int) -> Any:
    """Set the weights of `half` from its part of `whole`. Biases are cut along with the kernels, or kept by both."""
    weight, bias = whole.weight.detach(), whole.bias.detach()
    half_bias = own_half(bias, 0, tower) if weight_axis == 0 else bias
    half.weight = nn.Parameter(own_half(weight, weight_axis, tower).clone(), whole.weight.requires_grad)
    half.bias = nn.Parameter(half_bias.clone(), whole.bias.requires_grad)
    return half.train(whole.training)
