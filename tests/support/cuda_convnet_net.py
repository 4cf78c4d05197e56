"""Narrow net 145 in the format of the authors' checkpoints, and its outputs computed layer by layer in float64 from
the dictionaries, as defined by layers-145.cfg and layer.py."""

from typing import Any

import numpy as np

Layer = dict[str, Any]


class Builder:
    """Builds layers by name, with random weights of a suitable size."""

    def __init__(self, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.layers: dict[str, Layer] = {}

    def add(self, name: str, kind: str, *inputs: str, **rest: Any) -> None:
        self.layers[name] = {"name": name, "type": kind, "inputs": list(inputs), **rest}

    def weights(self, inputs: int, rows: int, columns: int, gain: float = 1.4) -> list[np.ndarray]:
        deviation = gain / np.sqrt(inputs * rows)
        return [(deviation * self.chance.standard_normal((rows, columns))).astype(np.float32) for _ in range(inputs)]

    def biases(self, *shape: int) -> np.ndarray:
        return (0.3 * self.chance.standard_normal(shape)).astype(np.float32)

    def conv(
        self, name: str, inputs: list[str], channels: int, filters: int, side: int, stride: int, padding: int
    ) -> None:
        n = len(inputs)
        rest = {"channels": [channels] * n, "filterSize": [side] * n, "stride": [stride] * n, "padding": [-padding] * n}
        learned = self.weights(n, channels * side**2, filters, 0.02 if name.startswith("conv1") else 1.4)
        rest |= {"groups": [1] * n, "weights": learned}
        self.add(name, "conv", *inputs, **rest, filters=filters, biases=self.biases(filters, 1))

    def fc(self, name: str, inputs: list[str], rows: int, outputs: int) -> None:
        learned = self.weights(len(inputs), rows, outputs)
        self.add(name, "fc", *inputs, outputs=outputs, weights=learned, biases=self.biases(1, outputs))

    def relu(self, name: str) -> None:
        self.add(f"{name}_neuron", "neuron", name, neuron={"type": "relu", "params": {}})

    def pool(self, name: str, below: str) -> None:
        self.add(name, "pool", below, pool="max", sizeX=3, stride=2, start=0)


def net145(classes: int = 10, seed: int = 0) -> dict[str, Layer]:
    """A sixth of the kernels and units of net 145."""
    net = Builder(seed)
    net.add("data", "data", outputs=3 * 224**2, dataIdx=0)
    net.add("labels", "data", outputs=1, dataIdx=1)
    for gpu in "ab":
        add_lower(net, gpu)
    for gpu in "ab":
        net.conv(f"conv3{gpu}", ["pool2a", "pool2b"], 21, 32, 3, 1, 1)
        net.relu(f"conv3{gpu}")
        net.conv(f"conv4{gpu}", [f"conv3{gpu}_neuron"], 32, 32, 3, 1, 1)
        net.relu(f"conv4{gpu}")
        net.conv(f"conv5{gpu}", [f"conv4{gpu}_neuron"], 32, 21, 3, 1, 1)
        net.pool(f"pool3{gpu}", f"conv5{gpu}")
        net.relu(f"pool3{gpu}")
    for gpu in "ab":
        net.fc(f"fc2048{gpu}", ["pool3a_neuron", "pool3b_neuron"], 21 * 36, 341)
        net.relu(f"fc2048{gpu}")
        net.add(f"hs1{gpu}", "hs", f"fc2048{gpu}_neuron", keep=0.5)
    for gpu, inputs in {"a": ["hs1a", "hs1b"], "b": ["hs1b", "hs1a"]}.items():  # each reads its own half first
        net.fc(f"fc2048b{gpu}", inputs, 341, 341)
        net.relu(f"fc2048b{gpu}")
        net.add(f"hs2{gpu}", "hs", f"fc2048b{gpu}_neuron", keep=0.5)
    net.fc("fc1000", ["hs2a", "hs2b"], 341, classes)
    net.add("probs", "softmax", "fc1000")
    net.add("logprob", "cost.logreg", "labels", "probs")
    return net.layers


def add_lower(net: Builder, gpu: str) -> None:
    """The first two convolutions with their norms and pooling."""
    norm = {"size": 5, "scale": 1e-4 / 5, "pow": 0.75, "minDiv": 2.0}
    net.conv(f"conv1{gpu}", ["data"], 3, 8, 11, 4, 0)
    net.add(f"rnorm1{gpu}", "cmrnorm", f"conv1{gpu}", **norm)
    net.pool(f"pool1{gpu}", f"rnorm1{gpu}")
    net.relu(f"pool1{gpu}")
    net.conv(f"conv2{gpu}", [f"pool1{gpu}_neuron"], 8, 21, 5, 1, 2)
    net.relu(f"conv2{gpu}")
    net.add(f"rnorm2{gpu}", "cmrnorm", f"conv2{gpu}_neuron", **norm)
    net.add(f"cnorm2{gpu}", "rnorm", f"rnorm2{gpu}", size=5, scale=1e-3 / 25, pow=0.75)
    net.pool(f"pool2{gpu}", f"cnorm2{gpu}")


def compute(layers: dict[str, Layer], image: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of every layer up to `probs`, for one image (3, 224, 224) minus its mean."""
    found = {"data": image.astype(np.float64)}
    for name, layer in layers.items():
        if layer["type"] not in ("data", "cost.logreg"):
            found[name] = STEPS[layer["type"]](layer, [found[one] for one in layer["inputs"]])
    return found


def conv(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    """Convolution with windows that start within the image and read zeros beyond its edge (layer.py:1004)."""
    total = layer["biases"].astype(np.float64)[:, :, None]
    for i, image in enumerate(inputs):
        side, stride, padding = layer["filterSize"][i], layer["stride"][i], -layer["padding"][i]
        modules = 1 + int(np.ceil((2 * padding + image.shape[1] - side) / stride))
        beyond = (modules - 1) * stride + side - padding - image.shape[1]
        padded = np.pad(image, ((0, 0), (padding, beyond), (padding, beyond)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))[:, ::stride, ::stride]
        columns = windows[:, :modules, :modules].transpose(1, 2, 0, 3, 4).reshape(modules, modules, -1)
        total = total + (columns @ layer["weights"][i].astype(np.float64)).transpose(2, 0, 1)
    return total


def fc(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    return layer["biases"].astype(np.float64)[0] + sum(
        one.reshape(-1) @ weights for one, weights in zip(inputs, layer["weights"], strict=True)
    )


def cmrnorm(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    (x,) = inputs
    out = np.empty_like(x)
    for i in range(len(x)):
        near = x[max(0, i - layer["size"] // 2) : i + layer["size"] // 2 + 1]
        out[i] = x[i] * (layer["minDiv"] + layer["scale"] * (near**2).sum(0)) ** -layer["pow"]
    return out


def rnorm(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    (x,) = inputs
    half = layer["size"] // 2
    padded = np.pad(x**2, ((0, 0), (half, half), (half, half)))
    sums = np.lib.stride_tricks.sliding_window_view(padded, (layer["size"],) * 2, (1, 2)).sum((3, 4))
    return x * (1 + layer["scale"] * sums) ** -layer["pow"]


def pool(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(inputs[0], (layer["sizeX"],) * 2, (1, 2))
    return windows[:, :: layer["stride"], :: layer["stride"]].max((3, 4))


def softmax(_layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    powers = np.exp(inputs[0] - inputs[0].max())
    return powers / powers.sum()


STEPS = {
    "conv": conv,
    "fc": fc,
    "cmrnorm": cmrnorm,
    "rnorm": rnorm,
    "pool": pool,
    "softmax": softmax,
    "neuron": lambda _, inputs: np.maximum(inputs[0], 0),
    "hs": lambda layer, inputs: layer["keep"] * inputs[0],
    "dropout2": lambda layer, inputs: layer["keep"] * inputs[0],
    "dropout": lambda _, inputs: inputs[0],  # DropoutLayer of cuda-convnet2 divides by `keep` in training
}
