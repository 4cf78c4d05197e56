"""Layer graph of a checkpoint of the authors' program: layers with weights, and the layers between them.

`model_state["layers"]` has one dictionary per layer: by name in the program of 2012 and in cuda-convnet2, as a list in
cuda-convnet, where `inputs` are positions in that list.
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
    """Input of a layer with weights. `layer`: the next layer below that has weights, or the data layer; `between`: the
    layers between the two, from the bottom up."""

    layer: Layer
    between: list[Layer]


def read_pickle(path: Path) -> Any:
    """Unpickle a file of the authors' program, zipped or not. Raises UserError if it is not one."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                data = file.read("data")
        else:
            data = path.read_bytes()
        return LenientUnpickler(io.BytesIO(data), encoding="latin1").load()
    except (pickle.UnpicklingError, zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{path}: not a pickle of the authors' program ({reason(error)})") from error
    except Exception as error:  # unpickling a corrupt file may raise any exception
        raise UserError(f"{path}: not a pickle, or corrupt ({reason(error)})") from error


def read_layers(path: Path) -> dict[str, Layer]:
    """Return the layers of a checkpoint by name, with `inputs` as names. Raises UserError if it has none."""
    content = read_pickle(path)
    state = content.get("model_state") if isinstance(content, dict) else None
    listed = state.get("layers") if isinstance(state, dict) else None
    layers = list(listed.values()) if isinstance(listed, dict) else listed
    if not isinstance(layers, list) or not all(isinstance(one, dict) and "name" in one for one in layers):
        raise UserError(f"{path}: no layers in model_state; not a checkpoint of the authors' program")
    names = [layer["name"] for layer in layers]
    for layer in layers:
        layer["inputs"] = [names[one] if isinstance(one, int) else one for one in layer.get("inputs", [])]
    return dict(zip(names, layers, strict=True))


def levels(path: Path, layers: dict[str, Layer]) -> list[list[Layer]]:
    """Group the layers with weights by depth, sorted by name within a level: a level is one layer of the paper, in one
    part or in the parts of two GPUs. Raises UserError if the graph has a cycle or layers of unknown kinds."""
    depths: dict[str, int] = {}

    def depth(name: str, above: int = 0) -> int:
        if above > len(layers):
            raise UserError(f"{path}: the layers below {name} form a cycle")
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
    """Return the inputs of a layer, in the order of its `weights`."""
    found = []
    for name in layer["inputs"]:
        between: list[Layer] = []
        while layers.get(name, {}).get("type") in BETWEEN:
            if len(layers[name]["inputs"]) != 1 or len(between) > len(layers):
                raise UserError(f"{path}: {name} does not have exactly one input; not the paper's network")
            between.insert(0, layers[name])
            (name,) = layers[name]["inputs"]
        if layers.get(name, {}).get("type") not in (*WEIGHTS, "data"):
            described = f"a layer of type {layers[name].get('type')}" if name in layers else "missing"
            raise UserError(f"{path}: {name} is {described}; not the paper's network")
        found.append(Source(layers[name], between))
    if not found:
        raise UserError(f"{path}: {layer['name']} has no inputs")
    return found
