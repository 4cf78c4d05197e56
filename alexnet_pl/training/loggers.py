"""Loggers of a fit: always `metrics.csv`, optionally also W&B or TensorBoard."""

from collections.abc import Mapping
from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from alexnet_pl.errors import not_installed
from alexnet_pl.training.metrics_file import MetricsFile
from alexnet_pl.training.wandb_logger import WANDB_ID, make_wandb_logger


def write_metrics(trainer: L.Trainer, values: Mapping[str, float]) -> None:
    """Write training metrics to every logger, at the current step.

    All training metrics are logged through this function, since `LightningModule.log` costs about 0.3 ms per value.
    Validation and test errors, which checkpoints and schedules monitor, are logged with `LightningModule.log`.
    """
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.log_metrics(dict(values), trainer.global_step)


def should_log(trainer: L.Trainer) -> bool:
    """Whether metrics are due after the current step (`trainer.log_every_n_steps`)."""
    interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector
    return interval > 0 and trainer.global_step % interval == 0


def make_loggers(
    kind: str, run: Path, project: str, step: int, entity: str | None = None, rows: int | None = None
) -> list[Logger]:
    """Loggers for a run that starts or resumes at `step`, when metrics.csv had `rows` rows.

    The list always begins with `metrics.csv` in the run folder. `kind`: "wandb" or "tensorboard" adds a second logger,
    "csv" none. Raises UserError if TensorBoard is not installed.
    """
    loggers: list[Logger] = [MetricsFile(run, step, rows)]
    if kind == "tensorboard":
        purge = step + 1 if step else None  # of a fit that was killed, steps after its last checkpoint
        try:
            loggers.append(TensorBoardLogger(str(run), name="tensorboard", version="", purge_step=purge))
        except ModuleNotFoundError as error:
            raise not_installed("tensorboard", "tensorboard", "logger=tensorboard") from error
    if kind == "wandb" and (logger := make_wandb_logger(run, project, entity)):
        loggers.append(logger)
    return loggers


def reopen_loggers(kind: str, run: Path, project: str, entity: str | None = None, new: bool = False) -> list[Logger]:
    """Open the loggers of a finished fit again, to add later results. `new`: also if the fit logged nothing."""
    if kind == "wandb" and (new or (run / WANDB_ID).is_file()):
        logger = make_wandb_logger(run, project, entity)
        return [logger] if logger else []
    if kind == "tensorboard" and (new or (run / "tensorboard").is_dir()):
        return make_loggers(kind, run, project, 0)[1:]
    return []
