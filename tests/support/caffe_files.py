"""Files of Caffe written by Google's protobuf, from a part of caffe.proto given as descriptors, and bvlc_alexnet in
plain float64 torch operations, blue before green before red."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from torch import Tensor
from torch.nn import functional as F

FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {"int64": FIELD.TYPE_INT64, "uint32": FIELD.TYPE_UINT32, "float": FIELD.TYPE_FLOAT, "string": FIELD.TYPE_STRING}
SCHEMA = {  # message → field: (number, type, repeated, packed)
    "BlobShape": {"dim": (1, "int64", True, True)},
    "BlobProto": {
        "num": (1, "int64", False, False),
        "channels": (2, "int64", False, False),
        "height": (3, "int64", False, False),
        "width": (4, "int64", False, False),
        "data": (5, "float", True, True),
        "shape": (7, "BlobShape", False, False),
    },
    "ConvolutionParameter": {
        "num_output": (1, "uint32", False, False),
        "pad": (3, "uint32", True, False),
        "kernel_size": (4, "uint32", True, False),
        "group": (5, "uint32", False, False),
        "stride": (6, "uint32", True, False),
    },
    "LRNParameter": {
        "local_size": (1, "uint32", False, False),
        "alpha": (2, "float", False, False),
        "beta": (3, "float", False, False),
        "k": (5, "float", False, False),
    },
    "PoolingParameter": {
        "pool": (1, "uint32", False, False),
        "kernel_size": (2, "uint32", False, False),
        "stride": (3, "uint32", False, False),
    },
    "LayerParameter": {
        "name": (1, "string", False, False),
        "type": (2, "string", False, False),
        "bottom": (3, "string", True, False),
        "top": (4, "string", True, False),
        "blobs": (7, "BlobProto", True, False),
        "convolution_param": (106, "ConvolutionParameter", False, False),
        "lrn_param": (118, "LRNParameter", False, False),
        "pooling_param": (121, "PoolingParameter", False, False),
    },
    "V1LayerParameter": {
        "bottom": (2, "string", True, False),
        "top": (3, "string", True, False),
        "name": (4, "string", False, False),
        "type": (5, "uint32", False, False),
        "blobs": (6, "BlobProto", True, False),
        "convolution_param": (10, "ConvolutionParameter", False, False),
        "lrn_param": (18, "LRNParameter", False, False),
        "pooling_param": (19, "PoolingParameter", False, False),
    },
    "NetParameter": {
        "name": (1, "string", False, False),
        "layers": (2, "V1LayerParameter", True, False),
        "layer": (100, "LayerParameter", True, False),
    },
}
NUMBERS = {"Data": 5, "Convolution": 4, "Dropout": 6, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18,
           "SoftmaxWithLoss": 21}  # fmt: skip


def message_types() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="part_of_caffe.proto", package="caffe", syntax="proto2")
    for name, members in SCHEMA.items():
        message = file.message_type.add(name=name)
        for member, (number, kind, repeated, packed) in members.items():
            label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
            field = message.field.add(name=member, number=number, label=label)
            if kind in TYPES:
                field.type = TYPES[kind]
            else:
                field.type, field.type_name = FIELD.TYPE_MESSAGE, f".caffe.{kind}"
            if packed:
                field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = [pool.FindMessageTypeByName(f"caffe.{name}") for name in SCHEMA]
    return {one.name: message_factory.GetMessageClass(one) for one in found}


MESSAGES = message_types()
CONVS = {"conv1": (3, 96, 11, 4, 0, 1), "conv2": (96, 256, 5, 1, 2, 2), "conv3": (256, 384, 3, 1, 1, 1),
         "conv4": (384, 384, 3, 1, 1, 2), "conv5": (384, 256, 3, 1, 1, 2)}  # fmt: skip


def random_weights(classes: int = 10, share: int = 16, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Weights and biases by layer, with a sixteenth of the kernels and units of bvlc_alexnet."""
    chance = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs, side, _, _, groups) in CONVS.items():
        inputs = 3 if name == "conv1" else inputs // share
        shapes[name] = (outputs // share, inputs // groups, side, side)
    shapes |= {"fc6": (4096 // share, 256 // share * 36), "fc7": (4096 // share, 4096 // share)}
    shapes["fc8"] = (classes, 4096 // share)
    found = {}
    for name, shape in shapes.items():
        deviation = (0.02 if name == "conv1" else 1.4) / np.sqrt(np.prod(shape[1:]))
        found[name] = [
            (deviation * chance.standard_normal(shape)).astype(np.float32),
            (0.3 * chance.standard_normal(shape[0])).astype(np.float32),
        ]
    return found


def layers(weights: dict[str, list[np.ndarray]], caffenet: bool = False) -> list[tuple[str, str]]:
    """(name, type) of each layer, in the order of train_val.prototxt."""
    found = [("data", "Data")]
    norms = ["Pooling", "LRN"] if caffenet else ["LRN", "Pooling"]
    after = {"conv1": norms, "conv2": norms, "conv5": ["Pooling"], "fc6": ["Dropout"], "fc7": ["Dropout"]}
    for name in weights:
        found.append((name, "Convolution" if name in CONVS else "InnerProduct"))
        if name != "fc8":
            found += [(f"{kind.lower()}{name[-1]}", kind) for kind in ["ReLU", *after.get(name, [])]]
    return [*found, ("loss", "SoftmaxWithLoss")]


def write_caffemodel(
    path: Path, weights: dict[str, list[np.ndarray]], v1: bool = False, caffenet: bool = False, **norm: float
) -> Path:
    """`norm`: other constants of the norms. `v1`: use the format of 2014, whose blobs have four dimensions."""
    net = MESSAGES["NetParameter"](name="AlexNet")
    for name, kind in layers(weights, caffenet):
        layer = (net.layers if v1 else net.layer).add(name=name, type=NUMBERS[kind] if v1 else kind)
        for array in weights.get(name, []):
            fill_blob(layer.blobs.add(), array, v1)
        if name in CONVS:
            _, _, side, stride, padding, groups = CONVS[name]
            convolution = layer.convolution_param
            convolution.num_output, convolution.group = len(weights[name][0]), groups
            convolution.kernel_size.append(side)
            convolution.stride.append(stride)
            convolution.pad.append(padding)
        if kind == "LRN":
            for key, value in {"local_size": 5, "alpha": 0.0001, "beta": 0.75, **norm}.items():
                setattr(layer.lrn_param, key, value)
        if kind == "Pooling":
            layer.pooling_param.kernel_size, layer.pooling_param.stride = 3, 2
            layer.pooling_param.pool = 0
    path.write_bytes(net.SerializeToString())
    return path


def fill_blob(blob: Any, array: np.ndarray, old: bool) -> None:
    blob.data.extend(array.reshape(-1).tolist())
    if old:
        shape = (1,) * (4 - array.ndim) + array.shape
        blob.num, blob.channels, blob.height, blob.width = shape
    else:
        blob.shape.dim.extend(array.shape)


def write_mean(path: Path, mean: np.ndarray) -> Path:
    """`mean`: (3, size, size), blue first."""
    blob = MESSAGES["BlobProto"]()
    fill_blob(blob, mean, old=True)
    path.write_bytes(blob.SerializeToString())
    return path


def compute(weights: dict[str, list[np.ndarray]], image: Tensor) -> Tensor:
    """Logits of (N, 3, 227, 227) float64, blue first, minus their mean."""
    w = {name: [torch.from_numpy(array).double() for array in pair] for name, pair in weights.items()}

    def conv(name: str, x: Tensor) -> Tensor:
        _, _, _, stride, padding, groups = CONVS[name]
        return F.relu(F.conv2d(x, *w[name], stride, padding, groups=groups))

    def norm_and_pool(x: Tensor) -> Tensor:
        return F.max_pool2d(F.local_response_norm(x, 5, 1e-4, 0.75, 1.0), 3, 2)

    x = norm_and_pool(conv("conv2", norm_and_pool(conv("conv1", image))))
    x = F.max_pool2d(conv("conv5", conv("conv4", conv("conv3", x))), 3, 2).flatten(1)
    return F.linear(F.relu(F.linear(F.relu(F.linear(x, *w["fc6"])), *w["fc7"])), *w["fc8"])
