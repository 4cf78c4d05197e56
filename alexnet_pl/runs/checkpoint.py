"""Read checkpoints. Nothing in a checkpoint is executed (`weights_only=True`)."""

import functools
import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet_pl.config.migration import migrate_record
from alexnet_pl.console import is_first_process
from alexnet_pl.digests import sha256
from alexnet_pl.errors import UserError, reason
from alexnet_pl.json_records import Count, parse_record
from alexnet_pl.runs.checkpoint_metadata import CheckpointMetadata
from alexnet_pl.runs.layout import LAST, PREVIOUS_NAME
from alexnet_pl.runs.records import CheckpointInfo

SKIP_CHECKSUM = "ALEXNET_PL_SKIP_CHECKSUM"
"""Environment variable: 1 reads checkpoints without verifying the checksums of their tensors."""
LARGEST_PICKLE = 2**24  # bytes of a checkpoint without its tensors; 21,843 classes take 2 million


@dataclass
class CheckpointRecord:
    """The parts of a checkpoint that this package reads; Lightning's parts are checked when a fit is resumed."""

    state_dict: dict[str, torch.Tensor]
    global_step: Count
    alexnet_pl: CheckpointMetadata
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
