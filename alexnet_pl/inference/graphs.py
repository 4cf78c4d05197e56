"""Export of a trained network with its preprocessing: ONNX and torch.export graphs with a dynamic batch axis.

Both map (N, 3, size, size) uint8 images, resized and cropped as in §3, to (N, classes) probabilities. Response
normalization (§4.3) becomes standard operators.
"""

import importlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet_pl.errors import UserError, not_installed
from alexnet_pl.inference.trained_network import TrainedNetwork, build_network
from alexnet_pl.inference.weights import METADATA_KEY, Weights, read_exported_weights, write_safetensors
from alexnet_pl.json_records import JsonObject, to_json

TOLERANCE = 1e-3  # of the largest probability; sums in another order change about 1e-6 of it in float32
INPUT, OUTPUT = "images", "probabilities"


def example_inputs(network: TrainedNetwork) -> tuple[tuple[Tensor], JsonObject]:
    """Return (inputs for tracing, their dynamic axes)."""
    images = torch.zeros(2, 3, network.size, network.size, dtype=torch.uint8)
    return (images,), {INPUT: {0: torch.export.Dim("batch", min=1)}}


def graph_metadata(network: TrainedNetwork, weights: Weights) -> str:
    """Metadata of the weights, and the views that the graph averages, as JSON."""
    return json.dumps({**to_json(weights.info), "views": network.view_set})


def export_torch(network: TrainedNetwork, weights: Weights, path: Path) -> None:
    inputs, dynamic = example_inputs(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its own file layout
        program = torch.export.export(network, inputs, dynamic_shapes=dynamic)
        with path.open("wb") as file:  # torch wants a path to end in .pt2
            torch.export.save(program, file, extra_files={f"{METADATA_KEY}.json": graph_metadata(network, weights)})


def run_torch(path: Path, images: Tensor, views: str) -> Tensor:
    with torch.inference_mode(), path.open("rb") as file:
        return torch.export.load(file).module()(images)


def export_onnx(network: TrainedNetwork, weights: Weights, path: Path) -> None:
    import_extra("onnxscript", "onnx")
    inputs, dynamic = example_inputs(network)
    program = torch.onnx.export(
        network, inputs, dynamo=True, dynamic_shapes=dynamic, input_names=[INPUT], output_names=[OUTPUT], verbose=False
    )
    assert program is not None
    program.model.metadata_props[METADATA_KEY] = graph_metadata(network, weights)
    program.save(path, external_data=False)


def run_onnx(path: Path, images: Tensor, views: str) -> Tensor:
    onnxruntime = import_extra("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


def export_safetensors(network: TrainedNetwork, weights: Weights, path: Path) -> None:
    write_safetensors(weights, path)


def run_safetensors(path: Path, images: Tensor, views: str) -> Tensor:
    with torch.inference_mode():
        return build_network(read_exported_weights(path), path, views)(images)


ExportFunction = Callable[[TrainedNetwork, Weights, Path], None]
RunFunction = Callable[[Path, Tensor, str], Tensor]
FORMATS: dict[str, tuple[str, ExportFunction, RunFunction]] = {
    "safetensors": ("model.safetensors", export_safetensors, run_safetensors),
    "onnx": ("model.onnx", export_onnx, run_onnx),
    "torch_export": ("model.pt2", export_torch, run_torch),
}
"""Format → (file name, function that writes it, function that runs the file on images with the named views). Graphs
contain their views."""


def import_extra(*modules: str) -> Any:
    """Import optional modules and return the first. Raises UserError, naming the extra, if one is not installed."""
    try:
        first, *_ = [importlib.import_module(name) for name in modules]
    except ModuleNotFoundError as error:
        raise not_installed(error.name, "export") from error
    return first


def largest_difference(network: TrainedNetwork, path: Path, run: RunFunction, images: Tensor) -> float:
    """Largest difference between the probabilities of the network and of the written file, for a batch and for a single
    image, because the batch axis is dynamic. Raises UserError if it exceeds `TOLERANCE`, or if one is not finite."""
    differences = []
    for part in (images, images[:1]):
        with torch.inference_mode():
            expected = network(part)
        difference = (run(path, part, network.view_set) - expected).abs().max()
        if not difference <= TOLERANCE * expected.max():  # also if one is NaN
            raise UserError(
                f"format: the written file's probabilities differ from the network's by up to {difference:.2g}, which "
                "is too much; the file was deleted; choose another format, or check the weights with `test`"
            )
        differences.append(float(difference))
    return max(differences)
