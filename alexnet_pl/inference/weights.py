"""Weights of a trained network with the metadata to use them: architecture, classes, mean image (§3).

Read from a run folder, a checkpoint, an exported folder or file (`model.safetensors`), or hf://user/repo. No format
that is read can execute code.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.recipes import describe_runs_inside
from alexnet_pl.data.images import FILTERS
from alexnet_pl.digests import sha256
from alexnet_pl.errors import UserError, not_installed, reason
from alexnet_pl.evaluation.result import TestResult, read_result
from alexnet_pl.json_records import Count, parse_record, to_json
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_is_classifier
from alexnet_pl.runs.checkpoint_metadata import lineage_with_own, read_import, resizing_filter
from alexnet_pl.runs.layout import RESULT, checkpoint_of_run, is_run, read_config, run_of_checkpoint
from alexnet_pl.runs.records import DatasetInfo, ImportedWeights, LineageStage

FILE = "model.safetensors"
METADATA_KEY = "alexnet_pl"  # metadata key in exported files
HUB = "hf://"
GRAPHS = {".onnx": "ONNX Runtime", ".pt2": "torch.export.load"}  # suffix of an exported graph → what reads it
PREFIXES = ("net.", "augment.")  # tensors of a checkpoint's state_dict that inference needs


@dataclass(frozen=True)
class WeightsInfo:
    """Metadata of exported weights. `architecture`: {"model": …, "augment": …}, settings of the network and its
    preprocessing; `classes`: (id, name) in the order of the outputs; `filter`: resizing filter; `step`: training step;
    `result`: last test of these weights, or None; `imported`: file of another program that the weights were imported
    from, or None; `lineage`: runs that the weights come from, oldest first, their own last; empty in older files."""

    architecture: Settings
    classes: list[list[str]]
    filter: str = "bilinear"
    step: Count = 0
    store: DatasetInfo = field(default_factory=DatasetInfo)
    result: TestResult | None = None
    imported: ImportedWeights | None = None
    lineage: list[LineageStage] = field(default_factory=list)
    schema: Count = 1


@dataclass(frozen=True)
class Weights:
    """Weights and metadata. `tensors`: name → CPU tensor of the network (`net.`) or the preprocessing (`augment.`)."""

    info: WeightsInfo
    tensors: dict[str, Tensor]


def read_weights(source: str | Path) -> Weights:
    """Read weights from any source that `load` accepts. Raises UserError, naming the file, for anything else."""
    if str(source).startswith(HUB):
        return read_weights(download_from_hub(str(source)))
    path = Path(source)
    if not path.exists():
        raise UserError(f"{source}: does not exist; give a run folder, checkpoint or {FILE}")
    if is_graph(path) and path.is_file():
        raise UserError(f"{source}: a graph for {GRAPHS[path.suffix]}; give {FILE} or the run")
    if is_run(path):
        return read_run_weights(path, checkpoint_of_run(path))
    if (path / FILE).is_file():
        path = path / FILE
    if path.suffix == ".safetensors":
        return read_exported_weights(path)
    if not path.is_file():
        raise UserError(f"{source}: not a run folder, checkpoint or {FILE}{describe_runs_inside(path)}")
    run = run_of_checkpoint(path)
    return read_run_weights(run if run and is_run(run) else None, path)


def is_graph(path: str | Path) -> bool:
    return Path(path).suffix in GRAPHS


def read_run_weights(run: Path | None, checkpoint: Path) -> Weights:
    content = read_checkpoint(checkpoint)
    metadata = content["alexnet_pl"]
    check_is_classifier(metadata, checkpoint)
    info = WeightsInfo(
        architecture=metadata["switches"],
        classes=metadata["classes"],
        filter=resizing_filter(metadata.get("filter", ""), read_config(run) if run else {}),
        step=content["global_step"],
        store=parse_record(metadata.get("store", {}), DatasetInfo),
        result=read_result_of(run, checkpoint) if run else None,
        imported=read_import(metadata),
        lineage=lineage_with_own(checkpoint, content),
    )
    try:
        check_info(info)
    except ValueError as error:
        raise UserError(f"{checkpoint}: {error}; no network of this package") from error
    return Weights(info, {name: t for name, t in content["state_dict"].items() if name.startswith(PREFIXES)})


def read_result_of(run: Path, checkpoint: Path) -> TestResult | None:
    """The run's newest test; None if it tested another checkpoint."""
    if not (run / RESULT).is_file():
        return None
    result = read_result(run / RESULT)
    return result if result.checkpoint.sha256 == sha256(checkpoint) else None


def read_exported_weights(path: Path) -> Weights:
    try:
        with safe_open(path, "pt") as file:
            info = parse_record(json.loads((file.metadata() or {})[METADATA_KEY]), WeightsInfo)
            check_info(info)
            return Weights(info, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: corrupt, or not exported by this package ({reason(error)})") from error


def check_info(info: WeightsInfo) -> None:
    """Raise ValueError, naming the field, for metadata from which no network can be built."""
    if info.filter not in FILTERS:
        raise ValueError(f"filter: {info.filter} is not one of {', '.join(FILTERS)}")
    if not all(isinstance(info.architecture.get(part), dict) for part in ("model", "augment")):
        raise ValueError("architecture: model or augment is missing")
    if not all(len(pair) == 2 for pair in info.classes):
        raise ValueError("classes: must be pairs of id and name")


def write_safetensors(weights: Weights, path: Path) -> None:
    """Write weights and metadata as safetensors; `read_weights` reads them back bit for bit."""
    tensors = {name: tensor.contiguous() for name, tensor in weights.tensors.items()}
    path.write_bytes(save(tensors, {METADATA_KEY: json.dumps(to_json(weights.info))}))


def download_from_hub(source: str) -> Path:
    """Download a repository of the Hugging Face hub to its cache. Returns the local folder."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise not_installed(error.name, "export", source) from error
    try:
        return Path(snapshot_download(source.removeprefix(HUB), allow_patterns=[FILE]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(f"{source}: cannot be downloaded ({reason(error)})") from error
