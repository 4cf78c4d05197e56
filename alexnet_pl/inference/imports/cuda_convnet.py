"""Checkpoints of the authors' program (2012) and of cuda-convnet, its public form: pickled layers.

Kernels are (inputs × rows × columns, outputs), fully connected weights (inputs, outputs), both with all pixels of a map
together, red before green before blue. The two GPUs' parts of a layer are layers of their own, such as conv2a and
conv2b, with one matrix of weights an input, in the order of `inputs`, which differs between the GPUs in fc7.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.errors import UserError
from alexnet_pl.inference.imports.foreign import ConvSettings, ForeignNetwork, check_conv, check_shapes
from alexnet_pl.inference.imports.layer_graph import Layer, levels, read_layers, read_pickle, sources
from alexnet_pl.models.alexnet import AlexNet

CONSTANTS = {  # of layers between: name → value in net 145, with scale as saved, divided by the number of neighbours
    "cmrnorm": {"size": 5, "scale": 1e-4 / 5, "pow": 0.75, "minDiv": 2.0},
    "rnorm": {"size": 5, "scale": 1e-3 / 25, "pow": 0.75},
    "hs": {"keep": 0.5},
    "dropout2": {"keep": 0.5},
}
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
POOLS = {(3, 2): True, (2, 2): False}  # size and stride → overlap


def read_cuda_convnet(path: Path) -> ForeignNetwork:
    """Raises UserError, naming the layer, for any network that `AlexNet` is not."""
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
    crop = math.isqrt(int(sources(path, layers, parts[0][0])[0].layer.get("outputs", 0)) // 3)
    with torch.device("meta"):
        net = build(path, model, crop)
    check_shapes(path, tensors, net)
    for name, part in zip(names, parts, strict=True):
        for layer in part if name.startswith("conv") else []:
            check_conv(path, name, conv_settings(layer, groups[name]), net)
    augment = {"crop": crop, "mean": "center", "noise": 0.0}
    return ForeignNetwork(model, augment, tensors, "ILSVRC class numbers", number_order=True)


def build(path: Path, model: dict[str, Any], crop: int) -> AlexNet:
    try:
        return AlexNet(**model, crop=crop)
    except ValueError as error:
        raise UserError(f"{path}: another network than the paper's ({error})") from error


def paper_names(path: Path, parts: list[list[Layer]]) -> list[str]:
    """The paper's name of each level: conv1 … conv5 or conv6, fc6, fc7, perhaps the linear bottleneck, fc8."""
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
    """(weights, biases, groups) of a layer of the paper whose parts lie on one or two GPUs, above those of `below`."""
    rows, own = [], []
    order = [layer["name"] for layer in below]
    for layer in part:
        inputs = [source.layer["name"] for source in sources(path, layers, layer)]
        blocks = dict(zip(inputs, map(to_torch, repeat(layer), layer.get("weights", [])), strict=False))
        if len(blocks) != len(inputs):
            raise UserError(f"{path}: {layer['name']} has not one matrix of weights for each input")
        own.append(inputs)
        rows.append(np.concatenate([blocks[name] for name in sorted(inputs, key=order.index)], axis=1))
    weight = np.ascontiguousarray(np.concatenate(rows).astype(np.float32))
    bias = np.concatenate([np.asarray(layer["biases"], np.float32).reshape(-1) for layer in part])
    if all(sorted(inputs) == sorted(order) for inputs in own):
        return weight, bias, int(max(part[0].get("groups", [1]))) if len(part) == 1 else 1
    if len(part) > 1 and own == [[name] for name in order]:
        return weight, bias, len(part)
    raise UserError(f"{path}: {part[0]['name']} reads {', '.join(own[0])}; another network than the paper's")


def repeat(layer: Layer) -> Iterable[Layer]:
    return [layer] * len(layer["inputs"])


def to_torch(layer: Layer, matrix: np.ndarray) -> np.ndarray:
    """A matrix of weights as (outputs, inputs, rows, columns) or (outputs, inputs)."""
    if layer["type"] == "fc":
        return matrix.T
    side = int(layer["filterSize"][0])
    return matrix.reshape(-1, side, side, matrix.shape[1]).transpose(3, 0, 1, 2)


def conv_settings(layer: Layer, groups: int) -> ConvSettings:
    """The program saves the padding below zero."""
    return ConvSettings(int(layer["stride"][0]), abs(int(layer["padding"][0])), groups, int(layer["filterSize"][0]))


def find_switches(
    path: Path,
    layers: dict[str, Layer],
    parts: dict[str, list[Layer]],
    tensors: dict[str, Tensor],
    groups: dict[str, int],
) -> dict[str, Any]:
    """Arguments of AlexNet, by the layers between those with weights."""
    names = list(parts)
    between = {
        below: check_between(path, layers, part) for below, part in zip(names, list(parts.values())[1:], strict=False)
    }
    towers = groups["conv2"]
    switches: dict[str, Any] = {
        "num_classes": len(tensors["fc8.bias"]),
        "towers": towers,
        "width": len(tensors["conv1.bias"]) / (96 if towers == 2 else 48),
        "conv6": "conv6" in names,
        "bottleneck": len(tensors["bottleneck.bias"]) if "bottleneck" in names else 0,
        "overlap": find_overlap(path, layers, parts),
    }
    wanted = {"conv3": [("relu",)], "conv4": [("relu",)], "conv5": [("pool", "relu"), ("relu", "pool")],
              "conv6": [("relu",)], "fc6": [("relu", "hs")], "fc7": [("relu", "hs")], "bottleneck": [()]}  # fmt: skip
    wanted |= {"conv1": list(AFTER_CONV1), "conv2": list(AFTER_CONV2)}
    for name, found in between.items():
        if found not in wanted[name]:
            raise UserError(f"{path}: {name} is followed by {', '.join(found) or 'nothing'}; not the paper's network")
    after1, after2 = AFTER_CONV1[between["conv1"]], AFTER_CONV2[between["conv2"]]
    if after1["norm"] != bool(after2):
        raise UserError(f"{path}: one of the norms after conv1 and conv2 is missing; not the paper's network")
    return switches | after1 | after2


def check_between(path: Path, layers: dict[str, Layer], part: list[Layer]) -> tuple[str, ...]:
    """Kinds of the layers below a level, which must be the same for all its inputs."""
    found = {
        tuple(check_constants(path, one) for one in source.between)
        for layer in part
        for source in sources(path, layers, layer)
    }
    if len(found) != 1:
        raise UserError(f"{path}: the inputs of {part[0]['name']} passed different layers; not the paper's network")
    return found.pop()


def check_constants(path: Path, layer: Layer) -> str:
    """The kind of a layer without weights; UserError if its constants are not those of the paper's network."""
    kind = str(layer["type"])
    for key, value in CONSTANTS.get(kind, {}).items():
        found = layer.get(key, value)
        if not math.isclose(float(found), value, rel_tol=1e-4):
            raise UserError(f"{path}: {layer['name']} has {key} {found:g}, not {value:g}; not the paper's network")
    if kind == "neuron":
        return str(layer["neuron"]["type"])
    if kind == "pool" and layer.get("pool") != "max":
        return f"{layer.get('pool')} pooling"
    return "hs" if kind.startswith("dropout") else kind


def find_overlap(path: Path, layers: dict[str, Layer], parts: dict[str, list[Layer]]) -> bool:
    """Whether windows of pooling overlap (§4.4), which is the same in all three layers."""
    pools = [layer for layer in layers.values() if layer.get("type") == "pool"]
    found = {(int(pool["sizeX"]), int(pool["stride"])) for pool in pools}
    if len(found) != 1 or not found <= set(POOLS):
        said = ", ".join(f"{size} by {stride}" for size, stride in sorted(found)) or "none"
        raise UserError(f"{path}: pooling {said}, not 3 by 2 or 2 by 2 everywhere; not the paper's network")
    return POOLS[found.pop()]


def read_batches_meta(path: Path) -> np.ndarray:
    """The mean image of the program's `batches.meta`, (3, size, size). Raises UserError if there is none in it."""
    content = read_pickle(path)
    mean = content.get("data_mean") if isinstance(content, dict) else None
    if not isinstance(mean, np.ndarray) or mean.size % 3 or math.isqrt(mean.size // 3) ** 2 != mean.size // 3:
        raise UserError(f"{path}: has no data_mean, the mean image, as batches.meta of the authors' program does")
    side = math.isqrt(mean.size // 3)
    return mean.astype(np.float64).reshape(3, side, side)
