"""Reader of Caffe's `bvlc_alexnet` (.caffemodel) and its mean image (.binaryproto).

Field numbers of caffe.proto that are read:

    NetParameter        name = 1, layers = 2 (before 2015), layer = 100
    LayerParameter      name = 1, type = 2, blobs = 7, convolution_param = 106, lrn_param = 118, pooling_param = 121
    V1LayerParameter    V0 layer = 1, name = 4, type = 5, blobs = 6, convolution_param = 10, lrn_param = 18,
                        pooling_param = 19
    BlobProto           num, channels, height, width = 1 … 4, data = 5, shape = 7, double_data = 8
    ConvolutionParameter  pad = 3, kernel_size = 4, group = 5, stride = 6
    LRNParameter        local_size = 1, alpha = 2, beta = 3, k = 5
    PoolingParameter    pool = 1, kernel_size = 2, stride = 3

Kernels are (outputs, inputs of the group, rows, columns), and conv1 reads blue, green, red.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from alexnet_pl.data.archives.protobuf import Value, fields, floats, integers, messages, texts
from alexnet_pl.errors import UserError
from alexnet_pl.inference.imports.foreign import (
    NAMES,
    ConvSettings,
    ForeignNetwork,
    check_conv,
    check_shapes,
    undo_inverted_dropout,
)
from alexnet_pl.models.other_alexnets import CaffeAlexNet

V1_TYPES = {4: "Convolution", 6: "Dropout", 14: "InnerProduct", 15: "LRN", 17: "Pooling", 18: "ReLU"}
NORM = {1: 5, 2: 1e-4, 3: 0.75, 5: 1.0}  # field of LRNParameter → the value in bvlc_alexnet
DEFAULTS = {1: 5, 2: 1.0, 3: 0.75, 5: 1.0}
LOWER = ["Convolution", "ReLU", "LRN", "Pooling"]
LOWER_CAFFENET = ["Convolution", "ReLU", "Pooling", "LRN"]
UPPER = [*["Convolution", "ReLU"] * 3, "Pooling", *["InnerProduct", "ReLU", "Dropout"] * 2, "InnerProduct"]


class CaffeLayer(NamedTuple):
    """Layer of a .caffemodel. `settings`: its ConvolutionParameter, LRNParameter or PoolingParameter message."""

    name: str
    kind: str
    blobs: list[memoryview]
    settings: memoryview


def read_caffe(path: Path) -> ForeignNetwork:
    """Read the weights of a .caffemodel. Raises UserError, naming the difference, for anything but `bvlc_alexnet`, and
    other exceptions for a corrupt file."""
    layers = read_caffe_layers(path)
    check_order(path, layers)
    learned = [layer for layer in layers if layer.kind in ("Convolution", "InnerProduct")]
    tensors = {}
    for name, layer in zip(NAMES, learned, strict=True):
        if len(layer.blobs) != 2:
            raise ValueError(f"{layer.name} has {len(layer.blobs)} blobs, not weights and biases")
        weight, bias = map(read_blob, layer.blobs)
        if layer.kind == "InnerProduct":
            weight = weight.reshape(weight.shape[-2:])
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weight, bias.reshape(-1)
    tensors["conv1.weight"] = tensors["conv1.weight"][:, ::-1]  # blue, green, red → red, green, blue
    found = {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}
    width = len(found["conv1.bias"]) / 96
    model = {"name": "caffe", "num_classes": len(found["fc8.bias"]), "dropout": 0.5, "width": width}
    with torch.device("meta"):
        net = CaffeAlexNet(model["num_classes"], width=width)
    check_shapes(path, found, net)
    for name, layer in zip(NAMES, learned, strict=True):
        if layer.kind == "Convolution":
            check_conv(path, name, conv_settings(layer.settings), net)
    check_norms_and_pooling(path, layers)
    augment = {"crop": 227, "mean": "per_position", "noise": 0.0}
    return ForeignNetwork(model, augment, undo_inverted_dropout(found))


def read_caffe_layers(path: Path) -> list[CaffeLayer]:
    """Read the layers of a NetParameter, in file order. Raises ValueError if the file is not one."""
    net = memoryview(path.read_bytes())
    if layers := messages(net, 100):
        return [read_layer(layer) for layer in layers]
    old = messages(net, 2)
    if not old:
        raise ValueError("no layers")
    if any(number == 1 for number, _ in fields(old[0])):
        raise ValueError("in Caffe's first format, of 2013; convert it with Caffe's upgrade_net_proto_binary")
    return [read_v1_layer(layer) for layer in old]


def read_layer(layer: memoryview) -> CaffeLayer:
    kind = texts(layer, 2)[0]
    settings = {"Convolution": 106, "LRN": 118, "Pooling": 121}.get(kind, 0)
    return CaffeLayer(texts(layer, 1)[0], kind, messages(layer, 7), join(messages(layer, settings)))


def read_v1_layer(layer: memoryview) -> CaffeLayer:
    kind = V1_TYPES.get(integers(layer, 5)[0] if integers(layer, 5) else 0, "")
    settings = {"Convolution": 10, "LRN": 18, "Pooling": 19}.get(kind, 0)
    return CaffeLayer(texts(layer, 4)[0], kind, messages(layer, 6), join(messages(layer, settings)))


def join(parts: list[memoryview]) -> memoryview:
    """Merge messages of one field as protobuf does: by concatenation."""
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def check_order(path: Path, layers: list[CaffeLayer]) -> None:
    """Raise UserError unless the layers have the order of `bvlc_alexnet`."""
    kinds = [layer.kind for layer in layers if layer.kind in V1_TYPES.values()]
    if kinds == [*LOWER_CAFFENET, *LOWER_CAFFENET, *UPPER]:
        raise UserError(
            f"{path}: CaffeNet (bvlc_reference_caffenet), which pools before it normalizes; use bvlc_alexnet, "
            "which has the paper's order"
        )
    if kinds != [*LOWER, *LOWER, *UPPER]:
        raise UserError(f"{path}: layers {', '.join(kinds[:8]) or 'of other kinds'} …, not those of bvlc_alexnet")


def conv_settings(message: memoryview) -> ConvSettings:
    """Read a ConvolutionParameter, with its defaults."""
    values = {number: integers(message, number) for number in (3, 4, 5, 6)}
    padding, kernel, groups, stride = (values[number][0] if values[number] else None for number in (3, 4, 5, 6))
    return ConvSettings(stride or 1, padding or 0, groups or 1, kernel)


def check_norms_and_pooling(path: Path, layers: list[CaffeLayer]) -> None:
    """Raise UserError, naming the layer, if a norm or pooling differs from the constants of `bvlc_alexnet`."""
    for layer in layers:
        given = dict(fields(layer.settings))
        if layer.kind == "LRN":
            found = {key: number_of(given[key]) if key in given else DEFAULTS[key] for key in NORM}
            if not all(math.isclose(found[key], value, rel_tol=1e-5) for key, value in NORM.items()):
                constants = ", ".join(f"{value:g}" for value in found.values())
                raise UserError(f"{path}: {layer.name} has size, α, β, k = {constants}, not 5, 0.0001, 0.75, 1")
        if layer.kind == "Pooling" and (given.get(1, 0), given.get(2), given.get(3, 1)) != (0, 3, 2):
            raise UserError(f"{path}: {layer.name} is not max pooling over 3 × 3 pixels with stride 2")


def number_of(value: Value) -> float:
    return float(value if isinstance(value, int) else np.frombuffer(value, "<f4")[0])


def read_blob(blob: memoryview) -> np.ndarray:
    """Read a BlobProto as an array of its shape. Raises ValueError if the number of values does not match."""
    shapes = messages(blob, 7)
    shape = integers(shapes[0], 1) if shapes else [(integers(blob, number) or [1])[0] for number in (1, 2, 3, 4)]
    data = floats(blob, 5)
    if not len(data) and (doubles := messages(blob, 8)):
        data = np.frombuffer(b"".join(doubles), "<f8").astype(np.float32)
    if len(data) != math.prod(shape):
        raise ValueError(f"{len(data):,} values for a blob of {' × '.join(map(str, shape))}")
    return data.reshape(shape)


def read_binaryproto(path: Path) -> np.ndarray:
    """Read a mean image: (3, size, size), RGB. Raises ValueError if the file is not one."""
    blob = read_blob(memoryview(path.read_bytes()))
    return reverse_colors(blob.reshape(blob.shape[-3:]))


def reverse_colors(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3 or len(image) != 3:
        raise ValueError(f"an array of shape {image.shape}, not three color channels")
    return image[::-1]
