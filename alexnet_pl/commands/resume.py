"""Where a fit starts: from nothing, or from a checkpoint of the same network; or that it is finished."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.commands.transfer_source import check_same_source
from alexnet_pl.config import identity
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.schema import store_root
from alexnet_pl.console import pluralize, print_message, shorten_path
from alexnet_pl.data.archives.remote import is_remote
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.checkpoint import print_start, read_checkpoint
from alexnet_pl.runs.checkpoint_checks import (
    check_resume_limits,
    check_resume_settings,
    check_trained_here,
    warn_of_other_validation,
)
from alexnet_pl.runs.layout import LAST, run_of_checkpoint
from alexnet_pl.runs.started_config import adopt_started_config


def store_fingerprint(cfg: DictConfig) -> str:
    """Fingerprint of the store at `data.root`; "" if it does not exist, since a finished fit does not need it."""
    root = store_root(cfg)
    return Store(root).fingerprint if is_remote(root) or Path(root).exists() else ""


def is_ready(
    cfg: DictConfig,
    folder: Path,
    signature: Callable[[DictConfig], Settings],
    fingerprint: Callable[[DictConfig], str] = store_fingerprint,
) -> bool:
    """Whether a fit has something to train; with `ckpt_path=auto`, see `is_finished`.

    `signature`, `fingerprint`: settings and images of the fit, which only `auto` compares with those of the folder.
    """
    if cfg.ckpt_path == "auto" and is_finished(cfg, folder, signature(cfg), fingerprint(cfg)):
        return False
    check_folder_is_free(cfg, folder)
    return True


def is_finished(cfg: DictConfig, folder: Path, training: Settings, fingerprint: str) -> bool:
    """For `ckpt_path=auto`: whether the fit is finished. If not, set `cfg.ckpt_path` to the checkpoint to resume.

    Raises UserError if the folder holds the fit of another network: with other settings, seed, images (`fingerprint`
    of their store) or `transfer.weights`, or one that is trained beyond the limits of the trainer.
    """
    finished, last = fit_status.resume_point(folder, training, fingerprint)
    checkpoint = read_checkpoint(last) if last else None
    if last and checkpoint:
        check_same_fit(cfg, last, checkpoint)
    if finished:
        adopt_started_config(folder)
        print_message("training already finished", folder)
        return True
    cfg.ckpt_path = str(last) if last else None
    if last and checkpoint:
        check_trained_here(last)
        print_start(last, checkpoint)
    return False


def check_folder_is_free(cfg: DictConfig, folder: Path) -> None:
    """Raise UserError if a new fit would replace the checkpoints of another."""
    path = folder / LAST
    if not cfg.ckpt_path and path.is_file():
        step = read_checkpoint(path)["global_step"]
        raise UserError(
            f"hydra.run.dir={folder}: holds a run of {pluralize(step, 'step')}; continue it with `python -m alexnet_pl "
            f"fit {shlex.quote(shorten_path(folder))}`, or choose another folder"
        )


def check_resumable(cfg: DictConfig, path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Raise UserError if a fit cannot resume from the checkpoint at `path`: its weights were imported, it holds only
    weights, as `best.ckpt`, or see `check_same_fit`."""
    check_trained_here(path)
    if not (checkpoint.get("optimizer_states") and checkpoint.get("loops", {}).get("fit_loop")):
        raise UserError(f"ckpt_path: {path} holds only weights; a fit resumes from last.ckpt")
    check_same_fit(cfg, path, checkpoint)


def check_same_fit(cfg: DictConfig, path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Raise UserError if the checkpoint at `path` was trained with other settings, from another network, or beyond the
    limits of the trainer."""
    check_resume_settings(checkpoint, identity.resume_signature(cfg))
    check_resume_limits(checkpoint, cfg.trainer.max_epochs, cfg.trainer.get("max_steps"))
    warn_of_other_validation(checkpoint, cfg.trainer.get("limit_val_batches"))
    check_same_source(cfg, checkpoint, run_of_checkpoint(path))
