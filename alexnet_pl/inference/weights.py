"""Weights of a trained network with all that is needed to use them: architecture, classes, mean image (§2).

Read from a run folder, a checkpoint, an exported folder or file (`model.safetensors`), or hf://user/repo. Nothing that
is read can run code.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from alexnet_pl.data.images import FILTERS
from alexnet_pl.errors import UserError, reason
from alexnet_pl.evaluation.result import load_result
from alexnet_pl.files import check_record
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import LAST, RESULT, is_run, read_config

FILE = "model.safetensors"
KEY = "alexnet_pl"  # of the metadata in exported files
HUB = "hf://"
PARTS = ("net.", "augment.")  # of a checkpoint's state_dict: what a network needs in use


@dataclass(frozen=True)
class Facts:
    """What is known of exported weights. `architecture`: {"model": …, "augment": …}, how network and preprocessing are
    built; `classes`: (id, name) in the order of the outputs; `filter`: with which images are resized; `step`: of
    training; `result`: of the newest test, if there was one."""

    architecture: dict[str, Any]
    classes: list[list[str]]
    filter: str = "bilinear"
    step: int = 0
    store: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    schema: int = 1


@dataclass(frozen=True)
class Weights:
    """`tensors`: by name, those of the network (`net.`) and of the preprocessing (`augment.`), on the CPU."""

    facts: Facts
    tensors: dict[str, Tensor]


def read_weights(source: str | Path) -> Weights:
    """Raises UserError that names the file for whatever is not a trained network."""
    if str(source).startswith(HUB):
        return read_weights(download(str(source)))
    path = Path(source)
    if is_run(path):
        return run_weights(path, path / LAST)
    if (path / FILE).is_file():
        path = path / FILE
    if path.suffix == ".safetensors":
        return exported_weights(path)
    if not path.is_file():
        raise UserError(f"{source}: no run folder, checkpoint or {FILE} there")
    folder = path.parent.parent
    return run_weights(folder if is_run(folder) else None, path)


def run_weights(run: Path | None, checkpoint: Path) -> Weights:
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: is not there; train first: python -m alexnet_pl fit -c {run}")
    content = read_checkpoint(checkpoint)
    about = content["alexnet_pl"]
    how = str((read_config(run).get("prepare") or {}).get("filter", "bilinear")) if run else "bilinear"
    result = load_result(run) if run and (run / RESULT).is_file() else None
    facts = Facts(about["switches"], about["classes"], how, content["global_step"], about.get("store", {}), result)
    return Weights(facts, {name: t for name, t in content["state_dict"].items() if name.startswith(PARTS)})


def exported_weights(path: Path) -> Weights:
    try:
        with safe_open(path, "pt") as file:
            content: Any = json.loads((file.metadata() or {})[KEY])
            check_record(content, Facts)
            facts = Facts(**content)
            check_facts(facts)
            return Weights(facts, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged, or not exported by this package ({reason(error)})") from error


def check_facts(facts: Facts) -> None:
    """Raise ValueError, naming the field, for facts that no network could be built from."""
    if facts.filter not in FILTERS:
        raise ValueError(f"filter: {facts.filter} is not one of {', '.join(FILTERS)}")
    if not facts.architecture.keys() >= {"model", "augment"}:
        raise ValueError("architecture: without model and augment")
    if not all(len(pair) == 2 for pair in facts.classes):
        raise ValueError("classes: not pairs of id and name")


def write_safetensors(weights: Weights, path: Path) -> None:
    """To be read back to the bit by `read_weights`, and by any program that reads safetensors."""
    tensors = {name: tensor.contiguous() for name, tensor in weights.tensors.items()}
    path.write_bytes(save(tensors, {KEY: json.dumps(asdict(weights.facts))}))


def download(source: str) -> Path:
    """A repository of the Hugging Face hub as a local folder, kept in its cache."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise UserError(f"{source}: needs the hub's client; pip install alexnet_pl[export]") from error
    try:
        return Path(snapshot_download(source.removeprefix(HUB), allow_patterns=[FILE]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(f"{source}: cannot be downloaded ({reason(error)})") from error
