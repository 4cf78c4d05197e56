"""Sizes of the network's layers (Figure 2; §4.5; §3.5 of 2012), read from a forward pass."""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.layers import Dropout, LocalResponseNorm, SpatialNorm
from alexnet_pl.models.overfeat import PLANS, OverFeat


class Layer(NamedTuple):
    """A layer that learns, as it was when an image went through."""

    name: str
    input_shape: tuple[int, ...]  # (maps, side, side) or (units,), all towers' together
    output_shape: tuple[int, ...]
    kernel: int  # pixels of a side; 0 of a fully connected layer
    stride: int
    maps: int  # of a kernel: all that the layer reads, or only its own tower's
    towers: int  # over which its kernels are spread
    followed_by: tuple[str, ...]  # norms, pooling and dropout that follow

    @property
    def within_tower(self) -> bool:
        """Whether its kernels read their own tower only."""
        return 0 < self.maps < self.input_shape[0]


def read_layers(net: AlexNet, crop: int) -> list[Layer]:
    """Run the network on one image of `crop` pixels, and note what each of its parts reads and makes."""
    seen: list[tuple[str, nn.Module, tuple[int, ...], tuple[int, ...]]] = []

    def note(name: str, part: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append((name, part, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

        return part.register_forward_hook(hook)

    hooks = [note(name, part) for name, part in net.named_children()]
    training, device = net.training, net.conv1.weight.device
    try:
        with torch.inference_mode():
            net.eval()(torch.zeros(1, 3, crop, crop, device=device))
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    return list(gathered(seen))


def gathered(seen: list[tuple[str, nn.Module, tuple[int, ...], tuple[int, ...]]]) -> Iterator[Layer]:
    """Each learned layer with what follows it."""
    towers = max(part.groups for _, part, _, _ in seen if isinstance(part, nn.Conv2d))
    learned = [i for i, (_, part, _, _) in enumerate(seen) if isinstance(part, nn.Conv2d | nn.Linear)]
    for start, end in zip(learned, [*learned[1:], len(seen)], strict=True):
        name, part, reads, makes = seen[start]
        then = tuple(word for _, after, _, out in seen[start + 1 : end] if (word := op_label(after, out)))
        last = end == len(seen) or name == "bottleneck"
        if isinstance(part, nn.Conv2d):
            shape = part.kernel_size[0], part.stride[0], part.weight.shape[1]
            yield Layer(name, reads, makes, *shape, towers, then)
        else:
            yield Layer(name, reads, makes, 0, 0, 0, 1 if last else towers, then)


def op_label(part: nn.Module, out: tuple[int, ...]) -> str:
    if isinstance(part, nn.MaxPool2d):
        return f"max-pool {part.kernel_size}×{part.kernel_size}\nto {out[-1]}×{out[-1]}"
    if isinstance(part, LocalResponseNorm | SpatialNorm):
        return "norm" if isinstance(part, LocalResponseNorm) else "spatial norm"
    return f"dropout {part.p:g}" if isinstance(part, Dropout) and part.p else ""


@cache
def of_network(metric: str) -> float:
    """`parameters`, `neurons` or `<layer>_share`, in percent of the parameters, of the main recipe's network, built on
    the meta device."""
    with torch.device("meta"):
        net = AlexNet()
        sizes = {name: sum(map(torch.numel, layer.parameters())) for name, layer in count_parameters(net).items()}
        if metric == "neurons":
            return float(count_neurons(net))
    total = float(sum(sizes.values()))
    return total if metric == "parameters" else 100 * sizes[metric.removesuffix("_share")] / total


@cache
def of_overfeat(net: str, metric: str) -> float:
    """Parameters, or connections, of OverFeat's `fast` or `accurate` network, built on the meta device.

    Connections are multiplications of one crop: what each output of a layer reads.
    """
    with torch.device("meta"):
        made = OverFeat(net=net, crop=PLANS[net].crop)
        if metric == "parameters":
            return float(sum(parameter.numel() for parameter in made.parameters()))
        counts: list[int] = []
        for layer in count_parameters(made).values():
            layer.register_forward_hook(
                lambda layer, _, out: counts.append(out.numel() * layer.weight[0].numel())  # type: ignore[operator, union-attr]
            )
        made(torch.empty(1, 3, made.crop, made.crop))
    return {"connections": float(sum(counts))}[metric]


def count_parameters(net: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: layer for name, layer in net.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)}


def count_neurons(net: AlexNet) -> int:
    """Outputs of all learned layers for one image of 224 × 224."""
    counts: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: counts.append(output.numel()))
        for layer in count_parameters(net).values()
    ]
    with torch.no_grad():
        net.eval()(torch.empty(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    return sum(counts)
