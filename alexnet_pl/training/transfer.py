"""Fine-tuning from an earlier network (§7): "training one CNN, with an extra sixth convolutional layer over the last
pooling layer, to classify the entire ImageNet Fall 2011 release … and then 'fine-tuning' it on ILSVRC-2012".

The paper describes one stage of pre-training. The authors' program went ILSVRC-2012 → Fall 2009 → Fall 2011 →
ILSVRC-2012, each stage carrying over more layers; these are the recipes `fall2009_chain` and `fall2011_chain`. The
learning rates of carried-over layers are set by the schedule (`schedule.name=staged`).
"""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.errors import UserError
from alexnet_pl.files import parse_record
from alexnet_pl.runs.checkpoint import read_checkpoint, read_lineage
from alexnet_pl.runs.fit_status import finished_fit
from alexnet_pl.runs.records import DatasetInfo, LineageStage


def carry_over(net: nn.Module, path: Path, layers: list[str]) -> list[LineageStage]:
    """Copy `layers` of the checkpoint at `path` into `net`, print a table of the layers, and return the earlier runs,
    oldest first. Velocities start at zero, as in the program (layer.py:794).

    Raises UserError, naming the layer, if it is missing or has another shape.
    """
    checkpoint = read_checkpoint(path, key="transfer.weights")
    weights: dict[str, Tensor] = checkpoint["state_dict"]
    learned = {name for name, layer in net.named_children() if list(layer.parameters())}
    if unknown := [name for name in layers if name not in learned]:
        raise UserError(f"transfer.layers: this network has no {unknown[0]}, only {', '.join(sorted(learned))}")
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.split(".")[0] in layers:
                parameter.copy_(matching_weight(name, parameter, weights, path))
    print_transfer(net, layers, checkpoint, path)
    return describe_lineage(checkpoint, path)


def matching_weight(name: str, parameter: Tensor, weights: dict[str, Tensor], path: Path) -> Tensor:
    layer = name.split(".")[0]
    weight = weights.get(f"net.{name}")
    if weight is None:
        raise UserError(f"transfer.layers: {path} has no {layer}; leave {layer} out of transfer.layers")
    if weight.shape != parameter.shape:
        raise UserError(
            f"transfer.layers: {name} is {format_shape(weight)} in {path} and {format_shape(parameter)} here; "
            f"leave {layer} out of transfer.layers, or make the two networks alike"
        )
    return weight


def format_shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape))


@rank_zero_only
def print_transfer(net: nn.Module, layers: list[str], checkpoint: dict[str, Any], path: Path) -> None:
    """Print each layer's shape and the source of its initial weights, then layers that were not carried over."""
    source = checkpoint["alexnet_pl"].get("store", {}).get("name", path.name)
    print(f"starting from {os.path.relpath(path)}")
    table = Table("layer", "weights", "starts from")
    for name, layer in net.named_children():
        if isinstance(weight := getattr(layer, "weight", None), Tensor):
            table.add_row(
                name,
                format_shape(weight),
                f"{source}, step {checkpoint['global_step']:,}" if name in layers else "initialization",
            )
    names = {name for name, _ in net.named_children()}
    for name, tensor in checkpoint["state_dict"].items():
        if name.startswith("net.") and name.endswith(".weight") and name.split(".")[1] not in names:
            table.add_row(name.split(".")[1], format_shape(tensor), "not used")
    Console().print(table)


def describe_lineage(checkpoint: dict[str, Any], path: Path) -> list[LineageStage]:
    """The run that the layers come from, after those that it started from itself."""
    metadata, step = checkpoint["alexnet_pl"], checkpoint["global_step"]
    fit = finished_fit(path, step)
    stage = LineageStage(
        schema=SCHEMA,
        store=parse_record(metadata.get("store", {}), DatasetInfo),
        step=step,
        training=fit.training if fit else None,
        finished=fit is not None,
        ended_by=fit.ended_by if fit else None,
        changed=fit is not None and fit.changed,
    )
    return [*read_lineage(metadata), stage]
