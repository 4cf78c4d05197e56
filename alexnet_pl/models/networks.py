"""The networks by the name that `model.name` gives them, built from a section `model` of a config."""

from collections.abc import Mapping
from typing import Any

import torch

from alexnet_pl.config.schema import instantiate
from alexnet_pl.errors import UserError
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import ConvNet, LocalNet
from alexnet_pl.models.other_alexnets import CaffeAlexNet, TorchvisionAlexNet
from alexnet_pl.models.overfeat import OverFeat
from alexnet_pl.runtime.available_memory import host_memory

Net = AlexNet | ConvNet | LocalNet | OverFeat
NETS = {
    "alexnet": AlexNet,
    "conv": ConvNet,
    "local": LocalNet,
    "overfeat": OverFeat,
    "caffe": CaffeAlexNet,
    "torchvision": TorchvisionAlexNet,
}


def make_named_net(model: Mapping[str, Any], crop: int) -> Net:
    """Build the network of a section `model`. Raises UserError if it needs more memory than this machine has."""
    check_memory(make_meta_net(model, crop))
    return build_net(model, crop)


def make_meta_net(model: Mapping[str, Any], crop: int) -> Net:
    """Build the network of a section `model` with the shapes of its weights alone."""
    with torch.device("meta"):
        return build_net(model, crop)


def build_net(model: Mapping[str, Any], crop: int) -> Net:
    """Build the network `model.name`, AlexNet by default, from its arguments, the other keys of the section."""
    section = dict(model)
    name = section.pop("name", "alexnet")
    if not isinstance(name, str) or name not in NETS:
        raise UserError(f"model.name={name}: one of {', '.join(NETS)}")
    return instantiate(NETS[name], section, "model", {"crop": "augment.crop"}, crop=crop)


def takes_crop(model: Mapping[str, Any], crop: int) -> bool:
    """Whether the network of a section `model` can be built for crops of this size, in pixels."""
    try:
        make_meta_net(model, crop)
    except UserError:
        return False
    return True


def check_memory(net: Net) -> None:
    """Raise UserError if a network's weights, gradients and velocities exceed this machine's memory."""
    needed = 3 * 4 * sum(parameter.numel() for parameter in net.parameters())
    available = host_memory()
    if needed > available:
        raise UserError(
            f"model: training this network takes {needed / 1e9:,.0f} GB of memory; "
            f"this machine has {available / 1e9:,.0f}"
        )


def check_sliding(net: Net, key: str = "test.views=dense") -> None:
    """Raise UserError, naming the config's `key`, for a network that cannot be used as a sliding window."""
    if isinstance(net, ConvNet | LocalNet):
        raise UserError(f"{key}: only for model.name=alexnet or overfeat")
    try:
        _ = net.window
    except ValueError as error:
        raise UserError(f"{key}: model.{error}") from error
