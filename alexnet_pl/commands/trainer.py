"""Run a command that uses the trainer: silence logs, check the checkpoint, shorten errors of Lightning to one line."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from alexnet_pl.commands.network_of_weights import fill_in
from alexnet_pl.commands.resume import check_resumable
from alexnet_pl.console import silence_library_logs
from alexnet_pl.errors import UserError, reason
from alexnet_pl.experiment.predict import check_images
from alexnet_pl.locks import run_lock
from alexnet_pl.runs.checkpoint import print_start, read_checkpoint
from alexnet_pl.runs.started_config import hold_started_config
from alexnet_pl.runtime.precision import set_tf32
from alexnet_pl.training.strategies import peers


def run_with_trainer(
    command: Callable[[DictConfig, Path], float | None], cfg: DictConfig, folder: Path
) -> float | None:
    """Run `command` after checking its checkpoint. Raises UserError for wrong Trainer options."""
    silence_library_logs()
    silence_warnings()
    if cfg.command in ("predict", "detect") or (cfg.command == "retrieve" and cfg.predict.images):
        check_images(cfg.predict.images)  # before the checkpoint is read
    if cfg.ckpt_path and cfg.ckpt_path != "auto":
        check_checkpoint(cfg)
    fill_in(cfg, folder)
    set_tf32(cfg)
    try:
        own = hold_started_config(folder) if cfg.command == "fit" else nullcontext()  # a test may run meanwhile
        with run_lock(folder, cfg.command), own:
            return command(cfg, folder)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {reason(error)}") from error
    except UserError as error:
        peers.fail(error)
        raise
    except Exception as error:
        peers.fail(error)
        if peers.is_reported(error):
            raise SystemExit(1) from None  # this process, one of several, has printed the reason
        raise


def silence_warnings() -> None:
    """Silence Lightning's warnings that do not apply to this package."""
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # warning in every resumed run
    # steps are counted over all epochs, so short epochs are logged too
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging interval")
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")  # caused by Lightning's own use of torch


def check_checkpoint(cfg: DictConfig) -> None:
    """Print the checkpoint in use. Raises UserError if a fit cannot resume from it."""
    path, checkpoint = Path(cfg.ckpt_path), read_checkpoint(cfg.ckpt_path)
    if cfg.command == "fit":
        check_resumable(cfg, path, checkpoint)
    print_start(path, checkpoint)
