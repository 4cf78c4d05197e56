"""Loggers of a fit: always `metrics.csv`, optionally also W&B or TensorBoard."""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from alexnet_pl.console import shorten_path
from alexnet_pl.errors import UserError, not_installed, reason
from alexnet_pl.runs.title import name_run
from alexnet_pl.training.metrics_file import MetricsFile
from alexnet_pl.training.wandb_login import is_offline

WANDB_ID = "wandb_id.txt"


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


def read_wandb_id(path: Path) -> str:
    """W&B run ID stored at `path`. Raises UserError unless valid, since it becomes part of a path and a URL."""
    identity = path.read_text(encoding="utf-8").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", identity):
        raise UserError(f"{path}: not a W&B run ID; remove the file to start a new W&B run")
    return identity


def make_wandb_logger(run: Path, project: str, entity: str | None = None) -> WandbLogger | None:
    """W&B logger, online if the user is logged in, else offline; None, with a warning, if W&B fails.

    Never prompts and never fails a run. A resumed run keeps its W&B run ID.
    """
    try:
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_DATA_DIR", str(run.absolute() / "wandb"))  # for images of tables until synced
        import wandb

        mode = os.environ.get("WANDB_MODE") or ("offline" if is_offline() else "online")
        id_path = run / WANDB_ID
        identity = read_wandb_id(id_path) if id_path.exists() else secrets.token_hex(4)
        settings = wandb.Settings(silent=True, console="off", init_timeout=30)
        options = {"project": project, "entity": entity, "mode": mode, "settings": settings}
        logger = WandbLogger(name=name_run(run), save_dir=str(run), id=identity, resume="allow", **options)
        logger._wandb_init.pop("anonymous", None)  # Lightning passes None, and wandb warns of any value
        experiment = logger.experiment
        if rank_zero_only.rank == 0 and mode == "offline":
            print(f"W&B: offline, in {shorten_path(run)}/wandb until `wandb sync`; logger=csv turns it off", flush=True)
        if rank_zero_only.rank == 0 and not id_path.exists():
            id_path.write_text(f"{experiment.id}\n", encoding="utf-8")  # a sweep's agent uses its own id
        return logger
    except Exception as error:  # losing the dashboard must not lose the run
        rank_zero_warn(f"logging without W&B ({reason(error)})")
        return None
