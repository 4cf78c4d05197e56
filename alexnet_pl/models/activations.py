"""Activations of a network's layers by name, as in feature extraction with timm or torchvision."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import torch
from torch import Tensor, nn

from alexnet_pl.errors import UserError
from alexnet_pl.models.hooks import Hook, forward_hooks

LINEAR = ("bottleneck",)  # layers without an activation function, besides the last


def learned_layers(net: nn.Module) -> list[str]:
    """Names of the layers with weights, the classifier last."""
    return [name for name, layer in net.named_children() if next(layer.parameters(), None) is not None]


def check_layer(net: nn.Module, layer: str) -> None:
    if layer not in (known := learned_layers(net)):
        raise UserError(f"layer={layer}: one of {', '.join(known)}")


def layer_activations(net: nn.Module, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
    """Activations by layer for a network input (N, 3, H, W): (N, maps, h, w) for a convolution, before norm and
    pooling; (N, units) for a fully connected layer, (N, units, 1, 1) for OverFeat's; logits for the last layer.

    Raises UserError for a layer that the network lacks.
    """
    linear = (learned_layers(net)[-1], *LINEAR)
    activation: Callable[[Tensor], Tensor] = getattr(net, "activation", torch.relu)
    found = layer_outputs(net, image, layers)
    return {name: output if name in linear else activation(output) for name, output in found.items()}


def layer_outputs(net: nn.Module, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
    """Outputs by layer as in `layer_activations`, but before the activation function."""
    wanted, found = list(layers), {}
    for name in wanted:
        check_layer(net, name)

    def keep(name: str) -> Hook:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            found[name] = output
            if len(found) == len(wanted):
                raise AllFoundError

        return hook

    with suppress(AllFoundError), forward_hooks((net.get_submodule(name), keep(name)) for name in wanted):
        net(image)
    return {name: found[name] for name in wanted}


class AllFoundError(BaseException):
    """Ends a forward pass once the outputs of all wanted layers are known.

    No Exception: for those, `nn.Module` walks over its hooks in Python, while other threads may add and remove theirs.
    """
