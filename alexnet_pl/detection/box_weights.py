"""Weights of a BoxNetwork (§4, §5): copied from a classifier or another box network, or loaded from a box run."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.detection.box_network import BoxNetwork, make_box_network
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import JsonObject
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_is_network
from alexnet_pl.runs.layout import find_checkpoint

BACKGROUND = "background"


class NetworkCheckpoint(NamedTuple):
    """Checkpoint of a classifier or a box network. `checkpoint`: content of the file at `path`."""

    path: Path
    checkpoint: JsonObject

    @property
    def metadata(self) -> JsonObject:
        return self.checkpoint["alexnet_pl"]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The state dict without the training module's prefix."""
        return {name.removeprefix("network."): value for name, value in self.checkpoint["state_dict"].items()}


def open_network_checkpoint(weights: str, key: str = "transfer.weights") -> NetworkCheckpoint:
    """Read a checkpoint, or the last one in a run folder. Raises UserError, naming the config key, if there is none, or
    if it is of short codes."""
    path = find_checkpoint(weights, key, "a checkpoint or the run folder of a trained OverFeat network")
    checkpoint = NetworkCheckpoint(path, read_checkpoint(path, key=key))
    check_is_network(checkpoint.metadata, path, key)
    return checkpoint


def copy_weights(network: BoxNetwork, source: NetworkCheckpoint, classes: Sequence[Sequence[str]]) -> None:
    """Copy the weights of `source` into the network. Raises UserError if a layer of `source` does not fit.

    The last layer is copied class by class, so that a classifier of 1,000 classes can initialize a detector of 200 of
    them; other classes and the background keep their initial values. The regressor of a box network is copied too, if
    it fits.
    """
    state, with_regressor = network.state_dict(), regressor_fits(network, source, classes)
    last = list(dict(network.net.named_parameters()))[-1].rpartition(".")[0]
    for name, tensor in source.tensors.items():
        if name.startswith(f"net.{last}."):
            copy_outputs(state[name], tensor, class_ids(classes), class_ids(source.metadata["classes"]))
        elif name.startswith("regressor.") and not with_regressor:
            continue
        elif name in state and state[name].shape == tensor.shape:
            state[name].copy_(tensor)
        elif name.startswith("net."):
            raise UserError(f"transfer.weights: {name} of {source.path} does not fit this network")
    if "augment.mean_image" in source.tensors:
        state["mean"].copy_(source.tensors["augment.mean_image"].mean((1, 2)).reshape(3, 1, 1))


def regressor_fits(network: BoxNetwork, source: NetworkCheckpoint, classes: Sequence[Sequence[str]]) -> bool:
    """Whether `source` has a regressor of the same sizes and, with outputs for each class, of the same `classes`."""
    if network.regressor.heads > 1 and class_ids(classes) != class_ids(source.metadata["classes"]):
        return False
    tensors = ((name, tensor) for name, tensor in network.state_dict().items() if name.startswith("regressor."))
    return all(name in source.tensors and source.tensors[name].shape == tensor.shape for name, tensor in tensors)


def class_ids(classes: Sequence[Sequence[str]]) -> list[str]:
    return [identity for identity, _ in classes]


@torch.no_grad()
def copy_outputs(target: Tensor, source: Tensor, classes: list[str], source_classes: list[str]) -> None:
    """Copy rows of the last layer by class, and the background's row if both have one."""
    if len(target) == len(classes) + 1:
        classes = [*classes, BACKGROUND]
    if len(source) == len(source_classes) + 1:
        source_classes = [*source_classes, BACKGROUND]
    rows = {identity: i for i, identity in enumerate(source_classes)}
    for i, identity in enumerate(classes):
        if identity in rows:
            target[i].copy_(source[rows[identity]])


def load_box_network(path: str) -> tuple[BoxNetwork, list[list[str]], BoxOptions]:
    """Load a box run's checkpoint: (network in evaluation mode, classes without the background, options).

    Raises UserError if it is a checkpoint of a classifier.
    """
    checkpoint = open_network_checkpoint(path, "ckpt_path")
    switches, classes = checkpoint.metadata["switches"], checkpoint.metadata["classes"]
    if "boxes" not in switches:
        raise UserError(f"ckpt_path: {path} is a classifier; train boxes with `fit -c overfeat_localise`")
    options = BoxOptions(**switches["boxes"])
    network = make_box_network(switches, len(classes), options)
    network.load_state_dict(checkpoint.tensors)
    network.size = checkpoint.metadata["store"].get("size") or switches["augment"]["size"]  # of its features, if older
    return network.eval().requires_grad_(False), classes, options
