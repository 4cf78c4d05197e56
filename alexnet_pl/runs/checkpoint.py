"""Read and write checkpoints. Nothing in a checkpoint is executed (`weights_only=True`)."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from alexnet_pl.config.migration import migrate_record
from alexnet_pl.errors import UserError
from alexnet_pl.files import sha256


def read_checkpoint(path: str | Path, mmap: bool = True, key: str = "ckpt_path") -> dict[str, Any]:
    """A checkpoint of this package, on the CPU. Raises UserError, naming the config's `key`, for anything else."""
    if Path(path).is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"{key}: {path} is not a checkpoint of alexnet_pl")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        checkpoint["alexnet_pl"]["switches"]
        checkpoint["alexnet_pl"] = migrate_record(checkpoint["alexnet_pl"])
    except Exception as error:  # whatever a foreign file makes of itself
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{key}: {path} is not a checkpoint of alexnet_pl ({reason})") from error
    return checkpoint


def check_compatible(path: str | Path | None, switches: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UserError where the network or the images of a checkpoint differ from the recipe's, naming the switch."""
    if path is None:
        return
    saved = read_checkpoint(path)["alexnet_pl"]["switches"]
    for section, wanted in switches.items():
        there = saved.get(section, {})
        for key in sorted({*wanted, *there}):
            if section == "augment" and key not in ("size", "crop"):
                continue  # how images were varied in training may change later; their sizes may not
            if wanted.get(key) != there.get(key):
                raise UserError(
                    f"ckpt_path: {path} has {section}.{key}={there.get(key)}, this recipe "
                    f"{section}.{key}={wanted.get(key)}; add {section}.{key}={there.get(key)} or take another"
                )


def checkpoint_step(cfg: DictConfig) -> int:
    """`global_step` of the checkpoint at `cfg.ckpt_path`."""
    return read_checkpoint(cfg.ckpt_path)["global_step"]


def about_checkpoint(path: Path, step: int = 0) -> dict[str, Any]:
    return {"file": path.name, "sha256": sha256(path), "step": step}
