"""Fine-tuning from an earlier network (§7): "training one CNN, with an extra sixth convolutional layer over the last
pooling layer, to classify the entire ImageNet Fall 2011 release … and then 'fine-tuning' it on ILSVRC-2012".

The paper describes one stage of pre-training. The authors' program went ILSVRC-2012 → Fall 2009 → Fall 2011 →
ILSVRC-2012, each stage copying more layers; these are the recipes `fall2009_chain` and `fall2011_chain`. The
learning rates of their layers are set by the schedule (`schedule.name=staged`); for images of one's own
`transfer.rates` and `transfer.freeze` are simpler (configs/finetune.yaml).
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.options import ALL, TransferOptions
from alexnet_pl.config.overrides import format_override
from alexnet_pl.errors import UserError
from alexnet_pl.models.activations import learned_layers
from alexnet_pl.runs.checkpoint import network_sha256, read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_is_classifier
from alexnet_pl.runs.checkpoint_metadata import lineage_with_own
from alexnet_pl.runs.records import LineageStage
from alexnet_pl.table import Table, print_tables

TRANSFER_KEY = "transfer.weights"
FUNCTION_KEYS = (  # of section model: settings by which weights of equal shapes compute something else
    "name", "norm", "overlap", "activation", "relu_after_pool1", "norm_per_tower", "alpha_over_n", "spatial_norm",
    "sigma",
)  # fmt: skip


@dataclass(frozen=True)
class EarlierNetwork:
    """A trained network to take layers from. `source`: its file or address; `architecture`: {"model": …, "augment": …};
    `tensors`: tensors by name, where those of the network begin with `net.`; `lineage`: its runs, oldest first, its own
    last."""

    source: str
    architecture: Settings
    tensors: Mapping[str, Tensor]
    lineage: list[LineageStage]

    @property
    def origin(self) -> str:
        """Description of the images that the network was trained on, and for how long."""
        last = self.lineage[-1]
        return f"{last.store.name or Path(self.source).name}, step {last.step:,}"


def read_earlier_network(path: Path) -> EarlierNetwork:
    """Read the network in a checkpoint. Raises UserError for any other file."""
    checkpoint = read_checkpoint(path, key=TRANSFER_KEY)
    check_is_classifier(checkpoint["alexnet_pl"], path, TRANSFER_KEY)
    lineage = record_weights(lineage_with_own(path, checkpoint), checkpoint["state_dict"])
    return EarlierNetwork(str(path), checkpoint["alexnet_pl"]["switches"], checkpoint["state_dict"], lineage)


def record_weights(lineage: list[LineageStage], tensors: Mapping[str, Tensor]) -> list[LineageStage]:
    """`lineage` with the hash of a network's `tensors` in its last stage."""
    return [*lineage[:-1], replace(lineage[-1], weights=network_sha256(tensors))]


def copy_layers(net: nn.Module, earlier: EarlierNetwork, layers: list[str]) -> None:
    """Copy `layers` of an earlier network into `net` and print a table of the layers. Velocities start at zero, as in
    the program (layer.py:794).

    Raises UserError, naming the layer, if it is missing or has another shape.
    """
    check_layers(net, layers, "transfer.layers")
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.split(".")[0] in layers:
                parameter.copy_(matching_weight(name, parameter, earlier))
    print_transfer(net, layers, earlier)


def describe_differences(model: Settings, earlier: Settings) -> str:
    """Settings of an earlier network by which copied weights compute something else than in `model`, as
    "model.norm=true, here false"; "" if there are none. Both are sections `model`; keys that one lacks are left out."""
    ours, theirs = ({"name": "alexnet", **section} for section in (model, earlier))
    differing = [key for key in FUNCTION_KEYS if key in ours and key in theirs and ours[key] != theirs[key]]
    words = (
        f"model.{format_override(key, theirs[key])}, here {format_override('', ours[key])[1:]}" for key in differing
    )
    return "; ".join(words) if earlier else ""


def check_layers(net: nn.Module, layers: Collection[str], key: str) -> None:
    known = learned_layers(net)
    if unknown := [name for name in layers if name not in known]:
        raise UserError(f"{key}: this network has no {unknown[0]}, only {', '.join(sorted(known))}")


def matching_weight(name: str, parameter: Tensor, earlier: EarlierNetwork) -> Tensor:
    layer = name.split(".")[0]
    weight = earlier.tensors.get(f"net.{name}")
    if weight is None:
        raise UserError(f"transfer.layers: {earlier.source} has no {layer}; leave {layer} out of transfer.layers")
    if weight.shape != parameter.shape:
        raise UserError(
            f"transfer.layers: {name} is {format_shape(weight)} in {earlier.source} and {format_shape(parameter)} "
            f"here; leave {layer} out of transfer.layers, or make the two networks alike"
        )
    return weight


def format_shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape))


@rank_zero_only
def print_transfer(net: nn.Module, layers: list[str], earlier: EarlierNetwork) -> None:
    """Print each layer's shape and the source of its initial weights, then the layers that were not copied."""
    local = Path(earlier.source).exists()
    print(f"starting from {os.path.relpath(earlier.source) if local else earlier.source}")
    rows = []
    for name, layer in net.named_children():
        if isinstance(weight := getattr(layer, "weight", None), Tensor):
            rows.append([name, format_shape(weight), earlier.origin if name in layers else "initialization"])
    names = {name for name, _ in net.named_children()}
    for name, tensor in earlier.tensors.items():
        if name.startswith("net.") and name.endswith(".weight") and name.split(".")[1] not in names:
            rows.append([name.split(".")[1], format_shape(tensor), "not used"])
    print_tables([Table("", ["layer", "weights", "starts from"], rows)])


def learning_rate_scales(net: nn.Module, transfer: TransferOptions) -> dict[str, float]:
    """Layer → factor of `optim.lr`, from `transfer.rates` and `transfer.freeze`; 0 for frozen layers.

    Raises UserError, naming the layer, if the network lacks it, or if it would be frozen at its initial weights.
    """
    copied = transfer.layers or []
    rates = {name: rate for name, rate in transfer.rates.items() if name != ALL}
    frozen = copied if transfer.freeze == [ALL] else transfer.freeze
    for key, names in {"transfer.rates": rates, "transfer.freeze": frozen}.items():
        check_layers(net, names, key)
    if fresh := [name for name in frozen if name not in copied]:
        raise UserError(f"transfer.freeze: {fresh[0]} is not copied, so it has nothing to keep")
    shared = dict.fromkeys(copied, transfer.rates[ALL]) if ALL in transfer.rates else {}
    return {**shared, **rates, **dict.fromkeys(frozen, 0.0)}


def freeze_layers(net: nn.Module, scales: Mapping[str, float]) -> None:
    """Disable gradients of layers with a learning rate of 0, which saves their part of the backward pass."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(scales.get(name.split(".")[0], 1.0) > 0)
