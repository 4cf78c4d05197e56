"""Export a trained network with its preprocessing as a graph: ONNX and torch.export, dynamic in the batch.

Both take (N, 3, size, size) uint8 squares, resized and cut as §2 says, to (N, classes) probabilities. Response
normalisation (§4.3) becomes standard operators.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet_pl.errors import UserError
from alexnet_pl.files import to_json
from alexnet_pl.inference.trained_network import TrainedNetwork
from alexnet_pl.inference.weights import KEY, Weights, read_weights, write_safetensors

INPUT, OUTPUT = "images", "probabilities"


def example(network: TrainedNetwork) -> tuple[tuple[Tensor], dict[str, Any]]:
    """(inputs to trace with, which of their axes are dynamic)."""
    images = torch.zeros(2, 3, network.size, network.size, dtype=torch.uint8)
    return (images,), {INPUT: {0: torch.export.Dim("batch", min=1)}}


def export_torch(network: TrainedNetwork, weights: Weights, path: Path) -> None:
    inputs, dynamic = example(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of how it groups what it saves
        program = torch.export.export(network, inputs, dynamic_shapes=dynamic)
        torch.export.save(program, path, extra_files={f"{KEY}.json": json.dumps(to_json(weights.info))})


def run_torch(path: Path, images: Tensor, views: str) -> Tensor:
    with torch.inference_mode():
        return torch.export.load(path).module()(images)


def export_onnx(network: TrainedNetwork, weights: Weights, path: Path) -> None:
    needs("onnxscript", "onnx")
    inputs, dynamic = example(network)
    program = torch.onnx.export(
        network, inputs, dynamo=True, dynamic_shapes=dynamic, input_names=[INPUT], output_names=[OUTPUT], verbose=False
    )
    assert program is not None
    program.model.metadata_props[KEY] = json.dumps(to_json(weights.info))
    program.save(path, external_data=False)


def run_onnx(path: Path, images: Tensor, views: str) -> Tensor:
    onnxruntime = needs("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


def export_safetensors(network: TrainedNetwork, weights: Weights, path: Path) -> None:
    write_safetensors(weights, path)


def run_safetensors(path: Path, images: Tensor, views: str) -> Tensor:
    with torch.inference_mode():
        return TrainedNetwork(read_weights(path), views)(images)


Write = Callable[[TrainedNetwork, Weights, Path], None]
Run = Callable[[Path, Tensor, str], Tensor]
FORMATS: dict[str, tuple[str, Write, Run]] = {
    "safetensors": ("model.safetensors", export_safetensors, run_safetensors),
    "onnx": ("model.onnx", export_onnx, run_onnx),
    "torch_export": ("model.pt2", export_torch, run_torch),
}
"""By name: the file, the function that writes it, and the one that runs what was written on images by some views, which
graphs carry in themselves."""


def needs(*modules: str) -> Any:
    """The first of the modules. Raises UserError, naming the extra, if one is not installed."""
    import importlib

    try:
        first, *_ = [importlib.import_module(name) for name in modules]
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name}: not installed; pip install alexnet_pl[export]") from error
    return first


def largest_difference(network: TrainedNetwork, path: Path, run: Run, images: Tensor) -> float:
    """Between the probabilities of the network and those of the written file, for a batch and for a single image, since
    the batch is dynamic."""
    differences = []
    for part in (images[:-1], images[-1:]):
        with torch.inference_mode():
            wanted = network(part)
        differences.append(float((run(path, part, network.view_set) - wanted).abs().max()))
    return max(differences)
