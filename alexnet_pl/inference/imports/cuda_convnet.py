"""Reader of checkpoints of the authors' program (2012) and of cuda-convnet, its public version: pickled layers.

Kernels are (inputs × rows × columns, outputs) and fully connected weights (inputs, outputs); in both, the pixels of a
map are contiguous, and channels are RGB. The parts of a layer on the two GPUs are separate layers, such as conv2a and
conv2b, each with one weight matrix per input, in the order of `inputs`; that order differs between the GPUs in fc7.
"""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.identity import Settings
from alexnet_pl.errors import UserError
from alexnet_pl.inference.imports.foreign import (
    ConvSettings,
    ForeignNetwork,
    check_conv,
    check_shapes,
    undo_inverted_dropout,
)
from alexnet_pl.inference.imports.layer_graph import Layer, levels, read_layers, read_pickle, sources
from alexnet_pl.models.alexnet import AlexNet

CONSTANTS = {  # kind of layer → constant → value in net 145; scale as saved, divided by the number of neighbors
    "cmrnorm": {"size": 5, "scale": 1e-4 / 5, "pow": 0.75, "minDiv": 2.0},
    "rnorm": {"size": 5, "scale": 1e-3 / 25, "pow": 0.75},
    "hs": {"keep": 0.5},
    "dropout2": {"keep": 0.5},
    "dropout": {"keep": 0.5},
}
DEFAULTS = {"minDiv": 1.0}  # of layers without that entry, as cuda-convnet's: its kernel adds 1
AFTER_CONV1 = {  # layers between conv1 and conv2 → arguments of AlexNet
    ("cmrnorm", "pool", "relu"): {"norm": True, "relu_after_pool1": True},
    ("relu", "cmrnorm", "pool"): {"norm": True, "relu_after_pool1": False},
    ("pool", "relu"): {"norm": False, "relu_after_pool1": True},
    ("relu", "pool"): {"norm": False, "relu_after_pool1": False},
}
AFTER_CONV2 = {
    ("relu", "cmrnorm", "rnorm", "pool"): {"spatial_norm": True},
    ("relu", "cmrnorm", "pool"): {"spatial_norm": False},
    ("relu", "pool"): {},
}
DROPOUT = [("relu", "hs"), ("relu", "dropout")]  # scaled at test time as in the paper (§5.2), or in training
AFTER = {  # layer with weights → the kinds of layers that may follow it
    **{"conv1": [*AFTER_CONV1], "conv2": [*AFTER_CONV2], "conv3": [("relu",)], "conv4": [("relu",)]},
    **{"conv5": [("pool", "relu"), ("relu", "pool")], "conv6": [("relu",)]},
    **{"fc6": DROPOUT, "fc7": DROPOUT, "bottleneck": [()]},
}
POOLS = {(3, 2): True, (2, 2): False}  # size and stride → overlap


def read_cuda_convnet(path: Path) -> ForeignNetwork:
    """Read the weights of a checkpoint. Raises UserError, naming the layer, if `AlexNet` cannot compute the network,
    and other exceptions for layers whose entries have other types."""
    layers = read_layers(path)
    parts = levels(path, layers)
    names = paper_names(path, parts)
    tensors: dict[str, Tensor] = {}
    groups: dict[str, int] = {}
    below: list[Layer] = [one.layer for one in sources(path, layers, parts[0][0])]
    for name, part in zip(names, parts, strict=True):
        weight, bias, groups[name] = join_parts(path, layers, part, below)
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = torch.from_numpy(weight), torch.from_numpy(bias)
        below = part
    model = find_switches(path, layers, dict(zip(names, parts, strict=True)), tensors, groups)
    above = [name for name, part in zip(names, parts, strict=True) if "dropout" in check_between(path, layers, part)]
    tensors = undo_inverted_dropout(tensors, above)
    crop = math.isqrt(int(sources(path, layers, parts[0][0])[0].layer.get("outputs", 0)) // 3)
    with torch.device("meta"):
        net = AlexNet(**model, crop=crop)
    check_shapes(path, tensors, net)
    for name, part in zip(names, parts, strict=True):
        for layer in part if name.startswith("conv") else []:
            check_conv(path, name, conv_settings(layer, groups[name]), net)
    augment = {"crop": crop, "mean": "center", "noise": 0.0}
    return ForeignNetwork(model, augment, tensors, "ILSVRC class numbers", number_order=True)


def paper_names(path: Path, parts: list[list[Layer]]) -> list[str]:
    """Name each level as in the paper: conv1 … conv5 or conv6, fc6, fc7, the linear bottleneck if present, fc8."""
    kinds = [{layer["type"] for layer in part} for part in parts]
    convs = sum(kind == {"conv"} for kind in kinds)
    fcs = len(kinds) - convs
    mixed = kinds != [{"conv"}] * convs + [{"fc"}] * fcs
    if mixed or convs not in (5, 6) or fcs not in (3, 4):
        found = ", ".join("+".join(layer["name"] for layer in part) for part in parts)
        raise UserError(f"{path}: layers {found}, not five or six convolutions and three fully connected layers")
    return [f"conv{i}" for i in range(1, convs + 1)] + ["fc6", "fc7", *["bottleneck"] * (fcs - 3), "fc8"]


def join_parts(
    path: Path, layers: dict[str, Layer], part: list[Layer], below: list[Layer]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Join the parts of a layer on one or two GPUs: (weights, biases, groups). `below`: parts of the layer below."""
    rows, own = [], []
    order = [layer["name"] for layer in below]
    for layer in part:
        inputs = [source.layer["name"] for source in sources(path, layers, layer)]
        matrices = zip(inputs, layer.get("weights", []), strict=False)
        blocks = {name: to_torch(layer, matrix) for name, matrix in matrices}
        if len(blocks) != len(inputs):
            raise UserError(f"{path}: {layer['name']} does not have one weight matrix per input")
        own.append(inputs)
        rows.append(np.concatenate([blocks[name] for name in sorted(inputs, key=order.index)], axis=1))
    weight = np.ascontiguousarray(np.concatenate(rows).astype(np.float32))
    bias = np.concatenate([np.asarray(layer["biases"], np.float32).reshape(-1) for layer in part])
    if all(sorted(inputs) == sorted(order) for inputs in own):
        return weight, bias, int(max(part[0].get("groups", [1]))) if len(part) == 1 else 1
    if len(part) > 1 and own == [[name] for name in order]:
        return weight, bias, len(part)
    raise UserError(f"{path}: {part[0]['name']} reads {', '.join(own[0])}; not the paper's network")


def to_torch(layer: Layer, matrix: np.ndarray) -> np.ndarray:
    """Reshape a weight matrix to (outputs, inputs, rows, columns) or (outputs, inputs)."""
    if layer["type"] == "fc":
        return matrix.T
    side = int(layer["filterSize"][0])
    return matrix.reshape(-1, side, side, matrix.shape[1]).transpose(3, 0, 1, 2)


def conv_settings(layer: Layer, groups: int) -> ConvSettings:
    """Read the settings of a convolution. The program saves padding as a negative number."""
    return ConvSettings(int(layer["stride"][0]), abs(int(layer["padding"][0])), groups, int(layer["filterSize"][0]))


def find_switches(
    path: Path,
    layers: dict[str, Layer],
    parts: dict[str, list[Layer]],
    tensors: dict[str, Tensor],
    groups: dict[str, int],
) -> Settings:
    """Infer the arguments of AlexNet from the layers with weights and those between them."""
    between = {below: check_between(path, layers, parts[above]) for below, above in pairwise(parts)}
    towers = groups["conv2"]
    switches: Settings = {
        "num_classes": len(tensors["fc8.bias"]),
        "towers": towers,
        "width": len(tensors["conv1.bias"]) / (96 if towers == 2 else 48),
        "conv6": "conv6" in parts,
        "bottleneck": len(tensors["bottleneck.bias"]) if "bottleneck" in parts else 0,
        "overlap": find_overlap(path, layers),
    }
    return switches | find_order(path, between)


def find_order(path: Path, between: dict[str, tuple[str, ...]]) -> Settings:
    """Infer which norms the network has, and the order of layer 1. `between`: layers after each layer with weights.
    Raises UserError for any that the paper's network does not have there."""
    for name, found in between.items():
        if found not in AFTER[name]:
            raise UserError(f"{path}: {name} is followed by {', '.join(found) or 'nothing'}; not the paper's network")
    after1, after2 = AFTER_CONV1[between["conv1"]], AFTER_CONV2[between["conv2"]]
    if after1["norm"] != bool(after2):
        raise UserError(f"{path}: one of the norms after conv1 and conv2 is missing; not the paper's network")
    return after1 | after2


def check_between(path: Path, layers: dict[str, Layer], part: list[Layer]) -> tuple[str, ...]:
    """Return the kinds of the layers below a level. Raises UserError if its inputs differ."""
    found = {
        tuple(check_constants(path, one) for one in source.between)
        for layer in part
        for source in sources(path, layers, layer)
    }
    if len(found) != 1:
        raise UserError(f"{path}: the inputs of {part[0]['name']} come from different layers; not the paper's network")
    return found.pop()


def check_constants(path: Path, layer: Layer) -> str:
    """Return the kind of a layer without weights. Raises UserError if its constants are not the paper's."""
    kind = str(layer["type"])
    for key, value in CONSTANTS.get(kind, {}).items():
        found = layer.get(key, DEFAULTS.get(key, value))
        if not math.isclose(float(found), value, rel_tol=1e-4):
            raise UserError(f"{path}: {layer['name']} has {key} {found:g}, not {value:g}; not the paper's network")
    if kind == "neuron":
        return str(layer["neuron"]["type"])
    if kind == "pool" and layer.get("pool") != "max":
        return f"{layer.get('pool')} pooling"
    return "hs" if kind == "dropout2" else kind


def find_overlap(path: Path, layers: dict[str, Layer]) -> bool:
    """Whether pooling windows overlap (§4.4). Raises UserError if the three pooling layers differ."""
    pools = [layer for layer in layers.values() if layer.get("type") == "pool"]
    found = {(int(pool["sizeX"]), int(pool["stride"])) for pool in pools}
    if len(found) != 1 or not found <= set(POOLS):
        sizes = ", ".join(f"{size} by {stride}" for size, stride in sorted(found)) or "none"
        raise UserError(f"{path}: pooling {sizes}, not 3 by 2 or 2 by 2 everywhere; not the paper's network")
    return POOLS[found.pop()]


def read_batches_meta(path: Path) -> np.ndarray:
    """Read the mean image from the program's `batches.meta`: (3, size, size). Raises UserError if it has none."""
    content = read_pickle(path)
    mean = content.get("data_mean") if isinstance(content, dict) else None
    if not isinstance(mean, np.ndarray) or mean.size % 3 or math.isqrt(mean.size // 3) ** 2 != mean.size // 3:
        raise UserError(f"{path}: has no data_mean (the mean image); expected batches.meta of the authors' program")
    side = math.isqrt(mean.size // 3)
    return mean.astype(np.float64).reshape(3, side, side)
