"""Layer sizes of a network (Figure 2; §4.5; §3.5 of 2012), read from a forward pass."""

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from alexnet_pl.models.activations import learned_layers
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.hooks import Hook, forward_hooks
from alexnet_pl.models.layers import Dropout, LocalResponseNorm, SpatialNorm
from alexnet_pl.models.overfeat import PLANS, OverFeat


class Layer(NamedTuple):
    """Sizes of a convolutional or fully connected layer in a forward pass."""

    name: str
    input_shape: tuple[int, ...]  # (maps, side, side) or (units,), of all towers together
    output_shape: tuple[int, ...]
    kernel: int  # side in pixels; 0 for a fully connected layer
    stride: int
    maps: int  # input maps of one kernel: all of them, or those of its own tower
    towers: int  # over which the kernels are split
    followed_by: tuple[str, ...]  # norms, pooling and dropout after it

    @property
    def within_tower(self) -> bool:
        """Whether kernels read maps of their own tower only."""
        return 0 < self.maps < self.input_shape[0]


def read_layers(net: AlexNet, crop: int) -> list[Layer]:
    """Run the network on one image of `crop` × `crop` pixels and record the shapes at each layer."""
    calls: list[tuple[str, nn.Module, tuple[int, ...], tuple[int, ...]]] = []

    def record(name: str) -> Hook:
        def hook(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls.append((name, part, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

        return hook

    training, device = net.training, net.conv1.weight.device
    try:
        with forward_hooks((part, record(name)) for name, part in net.named_children()), torch.inference_mode():
            net.eval()(torch.zeros(1, 3, crop, crop, device=device))
    finally:
        net.train(training)
    return list(collect_layers(calls))


def collect_layers(calls: list[tuple[str, nn.Module, tuple[int, ...], tuple[int, ...]]]) -> Iterator[Layer]:
    """Combine each learned layer with the norms, pooling and dropout that follow it."""
    towers = max(part.groups for _, part, _, _ in calls if isinstance(part, nn.Conv2d))
    learned = [i for i, (_, part, _, _) in enumerate(calls) if isinstance(part, nn.Conv2d | nn.Linear)]
    for start, end in zip(learned, [*learned[1:], len(calls)], strict=True):
        name, part, input_shape, output_shape = calls[start]
        followers = tuple(
            label for _, follower, _, shape in calls[start + 1 : end] if (label := op_label(follower, shape))
        )
        last = end == len(calls) or name == "bottleneck"
        if isinstance(part, nn.Conv2d):
            kernel = part.kernel_size[0], part.stride[0], part.weight.shape[1]
            yield Layer(name, input_shape, output_shape, *kernel, towers, followers)
        else:
            yield Layer(name, input_shape, output_shape, 0, 0, 0, 1 if last else towers, followers)


def op_label(part: nn.Module, output_shape: tuple[int, ...]) -> str:
    if isinstance(part, nn.MaxPool2d):
        return f"max-pool {part.kernel_size}×{part.kernel_size}\nto {output_shape[-1]}×{output_shape[-1]}"
    if isinstance(part, LocalResponseNorm | SpatialNorm):
        return "norm" if isinstance(part, LocalResponseNorm) else "spatial norm"
    return f"dropout {part.p:g}" if isinstance(part, Dropout) and part.p else ""


@cache
def measure_network(metric: str) -> float:
    """`parameters`, `neurons` or `<layer>_share` (percent of the parameters) of the main recipe's network, on the meta
    device."""
    with torch.device("meta"):
        net = AlexNet()
        sizes = {name: sum(map(torch.numel, net.get_submodule(name).parameters())) for name in learned_layers(net)}
        if metric == "neurons":
            return float(count_neurons(net))
    total = float(sum(sizes.values()))
    return total if metric == "parameters" else 100 * sizes[metric.removesuffix("_share")] / total


@cache
def measure_overfeat(net: str, metric: str) -> float:
    """Number of `parameters` or `connections` of OverFeat's `fast` or `accurate` network, built on the meta device, or
    its `subsampling` or `fine_subsampling`: pixels between windows at the coarse and at the fine stride.

    Connections are the multiplications for one crop: the inputs of each output, summed over all layers.
    """
    with torch.device("meta"):
        made = OverFeat(net=net, crop=PLANS[net].crop)
        if metric == "parameters":
            return float(sum(parameter.numel() for parameter in made.parameters()))
        if metric == "connections":
            return float(count_connections(made))
    return float({"subsampling": made.window.stride, "fine_subsampling": made.window.fine_stride}[metric])


def count_connections(net: OverFeat) -> int:
    """Multiplications for one crop."""
    counts: list[int] = []

    def count(layer: nn.Conv2d, _inputs: object, output: Tensor) -> None:
        counts.append(output.numel() * layer.weight[0].numel())

    with forward_hooks((net.get_submodule(name), count) for name in learned_layers(net)):
        net(torch.empty(1, 3, net.crop, net.crop))
    return sum(counts)


def count_neurons(net: AlexNet) -> int:
    """Number of outputs of all learned layers for one image of 224 × 224 pixels."""
    return sum(math.prod(layer.output_shape) for layer in read_layers(net, 224))
