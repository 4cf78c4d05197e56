"""Read and write checkpoints. Nothing in a checkpoint is executed (`weights_only=True`)."""

import functools
import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from alexnet_pl.config.migration import ADDED, SCHEMA, migrate_record
from alexnet_pl.console import is_first_process
from alexnet_pl.errors import UserError, reason
from alexnet_pl.files import Count, parse_record, sha256
from alexnet_pl.runs.layout import LAST, PREVIOUS_NAME
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo, ImportedWeights, LineageStage

SKIP_CHECKSUM = "ALEXNET_PL_SKIP_CHECKSUM"
"""Environment variable: 1 reads checkpoints without verifying the checksums of their tensors."""
LARGEST_PICKLE = 2**24  # bytes of a checkpoint without its tensors; 21,843 classes take 2 million


@dataclass
class NetworkRecord:
    """Entry `alexnet_pl` of a checkpoint. `switches`: arguments of model and augmentation; `classes`: (id, name), in
    the order of the outputs; `store`: images trained on; `lineage`: networks that layers were taken from; `sums`: (2,
    3) sums of the epoch so far; `course`: settings that a resumed fit must share; `imported`: set for weights of
    another program; `filter`: resizing filter of the training images, "" if not known."""

    switches: dict[str, dict[str, Any]]
    classes: list[list[str]] = field(default_factory=list)  # empty for code networks
    store: DatasetInfo = field(default_factory=DatasetInfo)
    lineage: list[LineageStage] = field(default_factory=list)
    sums: torch.Tensor | None = None
    course: dict[str, Any] = field(default_factory=dict)
    imported: ImportedWeights | None = None
    filter: str = ""
    schema: Annotated[int, (1, SCHEMA)] = 1


@dataclass
class CheckpointRecord:
    """The parts of a checkpoint that this package reads; Lightning's parts are checked when a fit is resumed."""

    state_dict: dict[str, torch.Tensor]
    global_step: Count
    alexnet_pl: NetworkRecord
    epoch: Count = 0
    metrics_rows: Count | None = None
    optimizer_states: list[dict[str, Any]] = field(default_factory=list)
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    loops: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_checkpoint(path: str | Path, key: str = "ckpt_path") -> dict[str, Any]:
    """Read a checkpoint of this package to the CPU. Raises UserError, naming the config's `key`, for any other file."""
    if Path(path).is_file():
        verify = os.environ.get(SKIP_CHECKSUM, "0") in ("", "0")
        check_bytes(Path(path), Path(path).stat().st_mtime_ns, key, verify)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        parse_record(checkpoint, CheckpointRecord)
        check_tensors(checkpoint["state_dict"])
        check_entries(checkpoint["alexnet_pl"])
        checkpoint["alexnet_pl"] = migrate_record(checkpoint["alexnet_pl"])
    except Exception as error:  # a file of another program may raise anything
        raise UserError(f"{key}: {path} is not a checkpoint of alexnet_pl ({reason(error)})") from error
    return checkpoint


def check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError for a tensor without values in memory (device `meta`), or that is not dense and real."""
    for name, tensor in tensors.items():
        dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not dense or tensor.is_quantized or tensor.is_complex():
            raise ValueError(f"state_dict.{name}: not a dense tensor of real numbers")


def check_entries(metadata: dict[str, Any]) -> None:
    """Raise ValueError for an entry that is None, or for classes that are not pairs: no checkpoint is written so."""
    for name, value in metadata.items():
        if value is None:
            raise ValueError(f"alexnet_pl.{name}: missing")
    if any(len(pair) != 2 for pair in metadata.get("classes", [])):
        raise ValueError("alexnet_pl.classes: must be pairs of id and name")


@functools.lru_cache(maxsize=64)
def check_bytes(path: Path, changed: int, key: str, verify: bool) -> None:
    """Raise UserError if a checkpoint is no zip archive as torch.save writes it or, with `verify`, if its bytes differ
    from those written, by the CRC-32 of each tensor.

    torch.load does not check them. `changed`: modification time of the file, so that each version is checked once.
    """
    if not zipfile.is_zipfile(path):
        raise UserError(f"{key}: {path} is not a checkpoint of alexnet_pl{other_checkpoint(path)}")
    try:
        with zipfile.ZipFile(path) as file:
            check_members(file)
            corrupt = file.testzip() if verify else None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{key}: {path} is corrupt ({error}){other_checkpoint(path)}") from error
    if corrupt:
        raise UserError(f"{key}: {path} is corrupt ({corrupt}: its checksum differs){other_checkpoint(path)}")


def check_members(file: zipfile.ZipFile) -> None:
    """Raise ValueError for members that torch.save does not write, which could unpack to more than the memory holds."""
    for member in file.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member.filename}: compressed")
        if member.filename.endswith("data.pkl") and member.file_size > LARGEST_PICKLE:
            raise ValueError(f"{member.filename}: {member.file_size:,} bytes")


def other_checkpoint(path: Path) -> str:
    """End of an error message: names the previous checkpoint, if there is one, and whether it is intact."""
    before = path.with_name(PREVIOUS_NAME)
    if path.name != Path(LAST).name or not before.is_file():
        return ""
    try:
        step = read_checkpoint(before)["global_step"]
    except UserError:
        return f"; {before} is corrupt too"
    return f"; {before}, of step {step:,}, is intact: ckpt_path={before}"


def check_compatible(path: str | Path | None, switches: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UserError, naming the key, if a checkpoint's network or image sizes differ from the recipe's."""
    if path is None:
        return
    saved = read_checkpoint(path)["alexnet_pl"]["switches"]
    for section, wanted in switches.items():
        wanted, stored = ({**ADDED.get(section, {}), **keys} for keys in (wanted, saved.get(section, {})))
        for key in sorted({*wanted, *stored}):
            if section == "augment" and key not in ("size", "crop"):
                continue  # other augmentation settings may change later
            if wanted.get(key) != stored.get(key):
                raise UserError(
                    f"ckpt_path: {path} has {section}.{key}={stored.get(key)}, this recipe "
                    f"{section}.{key}={wanted.get(key)}; add {section}.{key}={stored.get(key)} or take another"
                )


def check_resume_settings(checkpoint: Mapping[str, Any], settings: Mapping[str, tuple[str, Any]]) -> None:
    """Raise UserError, naming the key, if a fit cannot continue a checkpoint with these `settings`
    (`resume_signature`). Older checkpoints lack some."""
    saved = {**ADDED["data"], **checkpoint["alexnet_pl"].get("course", {})}
    for name, (key, value) in settings.items():
        if name in saved and saved[name] != value:
            raise UserError(f"{key}={value}: the resumed run has {saved[name]}; add {key}={saved[name]}")


def check_resume_limits(checkpoint: Mapping[str, Any], max_epochs: int | None, max_steps: int | None) -> None:
    """Raise UserError, naming the key, if a fit was already trained beyond these limits of the trainer: it could only
    end with a record of fewer epochs or steps than it has. None and -1: no limit."""
    limits = {"max_epochs": (max_epochs, "in epoch", started_epochs(checkpoint))}
    limits["max_steps"] = (max_steps, "at step", checkpoint["global_step"])
    for name, (limit, place, reached) in limits.items():
        if limit is not None and 0 <= limit < reached:
            key = f"trainer.{name}"
            raise UserError(f"{key}={limit}: the resumed run is {place} {reached}; give at least {key}={reached}")


def started_epochs(checkpoint: Mapping[str, Any]) -> int:
    """Number of epochs that a fit has started; 0 if its checkpoint does not say it."""
    try:
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["ready"]
    except (KeyError, TypeError):
        return 0
    return epochs if isinstance(epochs, int) else 0


def check_same_images(metadata: Mapping[str, Any], classes: list[list[str]], fingerprint: str) -> None:
    """Raise UserError if a resumed fit's store is not the one that it started with, by classes and fingerprint.

    `metadata`: entry `alexnet_pl` of the checkpoint; `classes`, `fingerprint`: of the store at `data.root`.
    """
    check_same_classes(metadata["classes"], classes)
    trained = metadata.get("store", {}).get("fingerprint", "")
    if trained and fingerprint and trained != fingerprint:
        raise UserError(
            f"data.root: the store holds other images ({fingerprint[:12]}) than the checkpoint was trained on "
            f"({trained[:12]}); give that store, or start a new fit"
        )


def check_same_classes(learned: list[list[str]], expected: list[list[str]]) -> None:
    if [identity for identity, _ in learned] != [identity for identity, _ in expected]:
        raise UserError("ckpt_path: the checkpoint was trained on other classes than the store at data.root has")


def print_start(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Print the checkpoint that a command uses, on the first process only."""
    if is_first_process():
        print(f"using {os.path.relpath(path)}, step {checkpoint['global_step']:,}", flush=True)


def describe_checkpoint(path: Path) -> CheckpointInfo:
    checkpoint = read_checkpoint(path)
    weights = weights_sha256(checkpoint["state_dict"])
    return CheckpointInfo(file=path.name, sha256=sha256(path), weights=weights, step=checkpoint["global_step"])


def weights_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all tensors of a `state_dict` in the order of their names, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def network_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the weights in a `state_dict` alone, which are equal in a checkpoint and in exported weights."""
    inner = {name.removeprefix("network."): tensor for name, tensor in tensors.items()}  # of a box network
    return weights_sha256({name: inner[name] for name in inner if name.startswith(("net.", "regressor."))})


def read_lineage(metadata: Mapping[str, Any]) -> list[LineageStage]:
    """Earlier runs listed in `metadata`, the entry `alexnet_pl` of a checkpoint."""
    return [parse_record(stage, LineageStage) for stage in metadata.get("lineage", [])]


def read_seed(metadata: Mapping[str, Any]) -> int | None:
    """Seed of the fit from `metadata`, the entry `alexnet_pl` of a checkpoint; None in older checkpoints."""
    return metadata.get("course", {}).get("seed")


def read_import(metadata: Mapping[str, Any]) -> ImportedWeights | None:
    """Origin of imported weights from `metadata`, the entry `alexnet_pl` of a checkpoint; None for trained weights."""
    return parse_record(metadata["imported"], ImportedWeights) if metadata.get("imported") else None


def check_is_network(metadata: Mapping[str, Any], path: str | Path, key: str = "ckpt_path") -> None:
    """Raise UserError, naming the config's `key`, if a checkpoint is of short codes (§7.1), not of a network."""
    if "codes" in metadata["switches"]:
        raise UserError(f"{key}: {path} holds short codes, not a network; give a run that learned to classify images")


def check_is_classifier(metadata: Mapping[str, Any], path: str | Path, key: str = "ckpt_path") -> None:
    """Raise UserError, naming the config's `key`, if a checkpoint is of short codes or of boxes, not a classifier."""
    check_is_network(metadata, path, key)
    if "boxes" in metadata["switches"]:
        raise UserError(f"{key}: {path} holds a box network; give the classifier that it started from")


def check_trained_here(path: str | Path) -> None:
    """Raise UserError if a checkpoint's weights were imported, so that no fit can resume from it."""
    if imported := read_import(read_checkpoint(path)["alexnet_pl"]):
        raise UserError(
            f"ckpt_path: {path} was imported from {imported.file} and holds no state of a fit; transfer.weights starts "
            "a new fit from its layers"
        )
