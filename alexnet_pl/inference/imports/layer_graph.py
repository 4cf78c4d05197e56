"""Layers of a checkpoint of the authors' program as a graph: which layers have weights, and what lies between them.

`model_state["layers"]` holds a dictionary a layer, by name in the program of 2012 and in cuda-convnet2, in a list in
cuda-convnet, where `inputs` are positions in it.
"""

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_pl.data.archives.array_pickle import LenientUnpickler
from alexnet_pl.errors import UserError, reason

Layer = dict[str, Any]
WEIGHTS = ("conv", "fc")
BETWEEN = ("neuron", "pool", "cmrnorm", "rnorm", "hs", "dropout", "dropout2")


@dataclass(frozen=True)
class Source:
    """An input of a layer with weights: the next layer below that has weights, or the data, and `between`, the layers
    from that one up."""

    layer: Layer
    between: list[Layer]


def read_pickle(path: Path) -> Any:
    """The content of a file of the authors' program, which may be zipped. Raises UserError if it is none."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                data = file.read("data")
        else:
            data = path.read_bytes()
        return LenientUnpickler(io.BytesIO(data), encoding="latin1").load()
    except (pickle.UnpicklingError, zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{path}: not a pickle of the authors' program ({reason(error)})") from error
    except Exception as error:  # a pickle can go wrong in any way
        raise UserError(f"{path}: not a pickle, or damaged ({reason(error)})") from error


def read_layers(path: Path) -> dict[str, Layer]:
    """The layers of a checkpoint by name, `inputs` as names. Raises UserError if it has none."""
    content = read_pickle(path)
    state = content.get("model_state") if isinstance(content, dict) else None
    listed = state.get("layers") if isinstance(state, dict) else None
    layers = list(listed.values()) if isinstance(listed, dict) else listed
    if not isinstance(layers, list) or not all(isinstance(one, dict) and "name" in one for one in layers):
        raise UserError(f"{path}: no model_state with layers in it; not a checkpoint of the authors' program")
    names = [layer["name"] for layer in layers]
    for layer in layers:
        layer["inputs"] = [names[one] if isinstance(one, int) else one for one in layer.get("inputs", [])]
    return dict(zip(names, layers, strict=True))


def levels(path: Path, layers: dict[str, Layer]) -> list[list[Layer]]:
    """Layers with weights by how many of them lie below, those of one level in the order of their names: the two GPUs'
    parts of a layer of the paper. Raises UserError for a graph with other layers between."""
    depths: dict[str, int] = {}

    def depth(name: str, above: int = 0) -> int:
        if above > len(layers):
            raise UserError(f"{path}: the layers below {name} lead back to it")
        if name not in depths:
            below = [source.layer for source in sources(path, layers, layers[name])]
            depths[name] = 1 + max(0 if one["type"] == "data" else depth(one["name"], above + 1) for one in below)
        return depths[name]

    named = sorted(name for name, layer in layers.items() if layer.get("type") in WEIGHTS)
    if not named:
        raise UserError(f"{path}: has no layers with weights")
    for name in named:
        depth(name)
    return [[layers[name] for name in named if depths[name] == level] for level in range(1, max(depths.values()) + 1)]


def sources(path: Path, layers: dict[str, Layer], layer: Layer) -> list[Source]:
    """The inputs of a layer, in their order, which is that of its `weights`."""
    found = []
    for name in layer["inputs"]:
        between: list[Layer] = []
        while layers.get(name, {}).get("type") in BETWEEN:
            if len(layers[name]["inputs"]) != 1 or len(between) > len(layers):
                raise UserError(f"{path}: {name} has not one input; another network than the paper's")
            between.insert(0, layers[name])
            (name,) = layers[name]["inputs"]
        if layers.get(name, {}).get("type") not in (*WEIGHTS, "data"):
            kind = layers.get(name, {}).get("type", "missing")
            raise UserError(f"{path}: {name} is {kind}; another network than the paper's")
        found.append(Source(layers[name], between))
    if not found:
        raise UserError(f"{path}: {layer['name']} has no inputs")
    return found
