"""Small networks and images for tests of the models."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.sliding_window import WindowGeometry

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
PRINTED = {
    "relu_after_pool1": False,
    "norm_per_tower": False,
    "alpha_over_n": False,
    "spatial_norm": False,
    "wide_init": False,
}
SMALL = 67  # smallest size in pixels that leaves one after five convolutions and three poolings


def on_meta(**switches) -> AlexNet:
    """AlexNet without weights, for shapes only: instant despite 60 million parameters."""
    with torch.device("meta"):
        return AlexNet(**switches)


def small(seed: int = 0, **switches) -> AlexNet:
    torch.manual_seed(seed)
    return AlexNet(**{"num_classes": 10, "crop": SMALL} | switches).eval()


def images(count: int = 2, crop: int = SMALL, seed: int = 1) -> Tensor:
    """Pixels minus their mean, on the scale of 0 … 255."""
    return 60 * torch.randn(count, 3, crop, crop, generator=torch.Generator().manual_seed(seed))


def layers(net: AlexNet) -> dict[str, nn.Module]:
    return {name: layer for name, layer in net.named_children() if isinstance(layer, (nn.Conv2d, nn.Linear))}


@contextmanager
def watched(net: AlexNet, *names: str) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Record (input, output) of each call of the named layers, by default all layers with weights."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    chosen = {name: net.get_submodule(name) for name in names} or layers(net)
    hooks = []
    for name, layer in chosen.items():
        found[name] = []

        def note(_: nn.Module, given: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
            found[name].append((given[0].detach(), output.detach()))

        hooks.append(layer.register_forward_hook(note))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def through(net: AlexNet, image: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of every layer with weights; "net" is the whole network."""
    with torch.no_grad(), watched(net) as found:
        output = net(image)
    return {name: calls[0] for name, calls in found.items()} | {"net": (image, output)}


def map_side(window: WindowGeometry) -> int:
    """Side of a window in cells of the maps before the last pooling: 15 for OverFeat's accurate network."""
    return window.pool + window.pool_stride * (window.classifier - 1)


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# Two GPUs


def silenced(name: str, after: slice) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, tuple[Tensor, Tensor]]]:
    """Inputs and outputs of all layers: with all maps, and with those of one GPU zeroed at layer `name`."""
    net, image = small(), images()
    whole = through(net, image)
    with torch.no_grad():
        net.get_submodule(name).weight[after] = 0
        net.get_submodule(name).bias[after] = 0
    return whole, through(net, image)
