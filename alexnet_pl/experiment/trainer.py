"""Lightning's Trainer of a run: its options, callbacks and loggers, from a composed config."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.options import make_distributed_options
from alexnet_pl.config.schema import check_keys
from alexnet_pl.errors import UserError, reason
from alexnet_pl.experiment.processes import cluster_plugins, make_strategy, set_processes
from alexnet_pl.experiment.trainer_checks import REFUSED, check_fit_options, check_trainer_options
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import CHECKPOINTS, LAST
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.runtime.precision import choose_precision, set_tf32
from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt
from alexnet_pl.training.callbacks.monitoring import ProgressBar, Throughput
from alexnet_pl.training.callbacks.provenance import Provenance
from alexnet_pl.training.callbacks.restored_state import RestoredState
from alexnet_pl.training.callbacks.same_start import SameStart, describe_start
from alexnet_pl.training.callbacks.saved_state import MetricsPosition, RandomState
from alexnet_pl.training.callbacks.shared_folder import SharedFolder
from alexnet_pl.training.checkpointing import AtomicCheckpointIO, SaveClock, make_checkpoints
from alexnet_pl.training.loggers import make_loggers
from alexnet_pl.training.performance import make_performance
from alexnet_pl.training.schedules import Schedule


def make_trainer(cfg: DictConfig, run: Path, own: list[Callback]) -> L.Trainer:
    """Build the trainer of a run; `own`: callbacks of a fit of this kind of module, besides those of every fit."""
    options = make_trainer_arguments(cfg, run, follows_schedule=any(isinstance(one, Schedule) for one in own))
    fits = cfg.command == "fit"
    bar = [ProgressBar(refresh_rate=10, leave=True)] if options.get("enable_progress_bar", True) else []
    always = [*bar, SameStart(partial(describe_start, cfg)), Provenance(run, cfg.command)]
    try:
        return L.Trainer(
            **options,
            default_root_dir=run,
            plugins=[AtomicCheckpointIO(), *cluster_plugins()],
            callbacks=[*always, *(fit_callbacks(cfg, run, own) if fits else [])],
            logger=fit_loggers(cfg, run) if fits else False,
            enable_checkpointing=fits,
            use_distributed_sampler=False,  # the loaders distribute the images, each exactly once
            num_sanity_val_steps=0,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"trainer: {reason(error)}") from error


def make_trainer_arguments(cfg: DictConfig, run: Path, follows_schedule: bool) -> dict[str, Any]:
    """Section `trainer` with devices, strategy and precision as they will be used, after its checks."""
    check_keys(cfg.trainer, inspect.signature(L.Trainer.__init__).parameters, "trainer")
    options: dict[str, Any] = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    kind = choose_device(cfg).type
    check_trainer_options({**options, "accelerator": kind})
    set_tf32(cfg)
    set_processes(options, kind)
    options = {name: value for name, value in options.items() if name not in REFUSED}  # these have no effect
    options["strategy"] = make_strategy(options, kind, run, cfg.command, make_distributed_options(cfg))
    if cfg.command == "fit":
        check_fit_options(cfg, kind == "cuda" and options["strategy"] == "auto", follows_schedule)
    options["precision"] = choose_precision(cfg.trainer.precision, kind)
    grows = bool(cfg.data.get("include_val_after_epoch"))  # the loader gets longer at that epoch
    options["reload_dataloaders_every_n_epochs"] = int(grows)
    return options


def fit_callbacks(cfg: DictConfig, run: Path, own: list[Callback]) -> list[Callback]:
    clock = SaveClock(make_performance(cfg).checkpoint_minutes)
    return [
        SharedFolder(run),
        *own,
        RandomState(),
        RestoredState(cfg.ckpt_path),
        MetricsPosition(),
        Throughput(cfg.data.batch_size),
        *make_checkpoints(
            run / CHECKPOINTS,
            cfg.objective,
            clock,
            epochs=cfg.data.get("include_val_after_epoch"),
            validates=cfg.trainer.get("limit_val_batches") != 0,
        ),
        GracefulInterrupt(run / LAST, clock),
    ]


def fit_loggers(cfg: DictConfig, run: Path) -> list[Logger]:
    """Loggers of a fit, which continue at the step of its checkpoint."""
    resumed = read_checkpoint(cfg.ckpt_path) if cfg.ckpt_path else {}
    step, rows = resumed.get("global_step", 0), resumed.get("metrics_rows") if resumed else 0
    return make_loggers(cfg.logger, run, cfg.wandb.project, step, cfg.wandb.get("entity"), rows)
