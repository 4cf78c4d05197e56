"""Loggers of a fit: always `metrics.csv`, and W&B or TensorBoard."""

import csv
import os
import re
import secrets
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lightning as L
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from alexnet_pl.errors import UserError

KINDS = ("wandb", "tensorboard", "csv")
WANDB_ID = "wandb_id.txt"


class Continued(ExperimentWriter):
    """Lightning's writer of `metrics.csv`, without its habit of deleting the rows of the run that is being resumed.

    Rows written after the checkpoint, which the resumed run will write again, are dropped: all but the first `rows`, or
    for a checkpoint of before they were counted, those of steps after `step`.
    """

    def __init__(self, folder: str, step: int, rows: int | None = None) -> None:
        super().__init__(folder)
        self.rows = 0
        path = Path(self.metrics_file_path)
        if not path.exists():
            return
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            complete = [row for row in reader if is_complete_row(row) and int(row["step"]) <= step]
        kept_rows = complete[:rows]
        self.rows = len(kept_rows)
        self.metrics_keys = list(reader.fieldnames or [])
        self.replace_file(kept_rows)

    def replace_file(self, rows: list[dict[str, Any]]) -> None:
        """Write the file anew: a kill leaves the old one or the new one."""
        path = Path(self.metrics_file_path)
        partial = path.with_suffix(".tmp")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(path)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Lightning's version empties the file before it writes it."""
        with Path(self.metrics_file_path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.replace_file(rows)

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        super().log_metrics(metrics_dict, step)
        self.rows += 1

    def _check_log_dir_exists(self) -> None:
        """Lightning's version deletes the existing file; this one keeps it."""


def is_complete_row(row: dict[str, Any]) -> bool:
    """Not a last line that a crash cut off."""
    return None not in row and None not in row.values() and row.get("step", "").isdecimal()


class MetricsFile(CSVLogger):
    """`metrics.csv` in the run folder, continued by a resumed run from `step` on, after the first `rows` rows."""

    def __init__(self, run: Path, step: int, rows: int | None = None) -> None:
        super().__init__(str(run), name="", version="", flush_logs_every_n_steps=1)
        self.step, self.kept_rows = step, rows

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if not isinstance(self._experiment, Continued):
            self._experiment = Continued(self.log_dir, self.step, self.kept_rows)
        return self._experiment


def write_metrics(trainer: L.Trainer, values: Mapping[str, float]) -> None:
    """Write metrics of training to every logger, at the current step.

    Everything measured during training goes this way, since `LightningModule.log` costs some 0.3 ms a value; errors of
    validation and test, which checkpoints and schedules monitor, go by `log`.
    """
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.log_metrics(dict(values), trainer.global_step)


def logs_now(trainer: L.Trainer) -> bool:
    """Whether the step just made is one that `log_every_n_steps` logs."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector
    return every > 0 and trainer.global_step % every == 0


def make_loggers(
    kind: str, run: Path, project: str, step: int, entity: str | None = None, rows: int | None = None
) -> list[Logger]:
    """`metrics.csv` in the run folder, and what `kind` names, for a run that starts or is resumed at `step`, when
    metrics.csv had `rows` rows."""
    if kind not in KINDS:
        raise UserError(f"logger={kind}: one of {', '.join(KINDS)}")
    loggers: list[Logger] = [MetricsFile(run, step, rows)]
    if kind == "tensorboard":
        try:
            loggers.append(TensorBoardLogger(str(run), name="tensorboard", version=""))
        except ModuleNotFoundError as error:
            raise UserError("logger=tensorboard: not installed; pip install tensorboard") from error
    if kind == "wandb" and (logger := wandb_logger(run, project, entity)):
        loggers.append(logger)
    return loggers


def reopen_loggers(kind: str, run: Path, project: str, entity: str | None = None, new: bool = False) -> list[Logger]:
    """Loggers that a fit used, to add results found later; `new`: also where nothing was logged yet."""
    if kind == "wandb" and (new or (run / WANDB_ID).is_file()):
        logger = wandb_logger(run, project, entity)
        return [logger] if logger else []
    if kind == "tensorboard" and (new or (run / "tensorboard").is_dir()):
        return make_loggers(kind, run, project, 0)[1:]
    return []


def logged_in() -> bool:
    """Whether W&B's key is in the environment or where `wandb login` leaves it."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return bool(os.environ.get("WANDB_API_KEY") or netrc(os.environ.get("NETRC")).authenticators(host or ""))
    except (OSError, NetrcParseError):
        return False


def offline() -> bool:
    """Whether W&B runs offline: by WANDB_MODE, or without a login."""
    return os.environ.get("WANDB_MODE", "online") != "online" or not logged_in()


def read_id(path: Path) -> str:
    """W&B's identity of a run, which becomes part of a path and of an address."""
    identity = path.read_text().strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", identity):
        raise UserError(f"{path}: not an identity of W&B's; remove the file to start a new run there")
    return identity


def wandb_logger(run: Path, project: str, entity: str | None = None) -> WandbLogger | None:
    """Online if the user is logged in, else offline. Never prompts and never fails a run; the run's ID
    stays when it is resumed."""
    try:
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_DATA_DIR", str(run.absolute() / "wandb"))  # tables' images wait there for a sync
        import wandb

        mode = os.environ.get("WANDB_MODE") or ("offline" if offline() else "online")
        kept = run / WANDB_ID
        identity = read_id(kept) if kept.exists() else secrets.token_hex(4)
        name = "/".join(run.parts[-2:])
        settings = wandb.Settings(silent=True, console="off", init_timeout=30)
        where = {"project": project, "entity": entity, "mode": mode, "settings": settings}
        logger = WandbLogger(name=name, save_dir=str(run), id=identity, resume="allow", **where)
        experiment = logger.experiment
        if rank_zero_only.rank == 0 and not kept.exists():
            kept.write_text(f"{experiment.id}\n")  # a sweep's agent has chosen another than ours
        return logger
    except Exception as error:  # whatever it is, losing the dashboard must not lose the run
        rank_zero_warn(f"W&B is left out ({str(error).splitlines()[0] if str(error) else type(error).__name__})")
        return None
