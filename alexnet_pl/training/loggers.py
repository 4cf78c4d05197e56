"""Loggers of a fit: always `metrics.csv`, optionally also W&B or TensorBoard."""

import csv
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlsplit

import lightning as L
import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from alexnet_pl.console import shorten_path
from alexnet_pl.errors import UserError, not_installed, reason
from alexnet_pl.files import replacing
from alexnet_pl.runs.metrics_log import is_complete_row, read_rows
from alexnet_pl.runs.title import name_run

WANDB_ID = "wandb_id.txt"


class ResumableMetricsWriter(ExperimentWriter):
    """Writer of `metrics.csv` that keeps the rows of a resumed run, which Lightning's writer deletes.

    Only the first `rows` rows are kept, since the resumed run writes later ones again. Without `rows` (None), as in
    older checkpoints, rows of steps after `step` are dropped. Raises UserError for a file with a corrupt row.
    """

    def __init__(self, folder: str, step: int, rows: int | None = None) -> None:
        super().__init__(folder)
        self.rows = 0
        path = Path(self.metrics_file_path)
        if not path.exists():
            return
        read_rows(path)
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            complete = [row for row in reader if is_complete_row(row) and int(row["step"]) <= step]
        kept_rows = complete[:rows]
        self.rows = len(kept_rows)
        self.metrics_keys = list(reader.fieldnames or [])
        self.replace_file(kept_rows)

    def replace_file(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Replace the file atomically."""
        path = Path(self.metrics_file_path)
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Replace the file atomically; Lightning's method empties it first."""
        with Path(self.metrics_file_path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.replace_file(rows)

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        super().log_metrics({name: shorten(float(value)) for name, value in metrics_dict.items()}, step)
        self.rows += 1

    def _check_log_dir_exists(self) -> None:
        """Keep the existing file, which Lightning's method deletes."""


@np.errstate(over="ignore")
def shorten(value: float) -> float:
    """The shortest decimal of a value from a float32 tensor, which has the same float32: 17.2, not 17.200000762939453.
    Other values are unchanged."""
    single = np.float32(value)
    return float(str(single)) if value == float(single) else value


class MetricsFile(CSVLogger):
    """Logger that writes `metrics.csv`; a run resumed at `step` appends after the first `rows` rows."""

    def __init__(self, run: Path, step: int, rows: int | None = None) -> None:
        super().__init__(str(run), name="", version="", flush_logs_every_n_steps=1)
        self.step, self.kept_rows = step, rows

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if not isinstance(self._experiment, ResumableMetricsWriter):
            self._experiment = ResumableMetricsWriter(self.log_dir, self.step, self.kept_rows)
        return self._experiment


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


def is_logged_in() -> bool:
    """Whether a W&B API key is in the environment or in the file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        keys = netrc(os.environ.get("NETRC"))
    except (OSError, NetrcParseError):
        return False
    return any(keys.authenticators(host) for host in wandb_hosts())


def wandb_hosts() -> list[str]:
    """Hosts, with ports, under which `wandb login` may have stored the key; the public server has been renamed."""
    import wandb

    if url := os.environ.get("WANDB_BASE_URL"):
        return [urlsplit(url).netloc]
    return [urlsplit(wandb.Settings().base_url).netloc, "api.wandb.ai"]


def is_offline() -> bool:
    """Whether W&B logs offline, because of WANDB_MODE or because the user is not logged in."""
    return os.environ.get("WANDB_MODE", "online") != "online" or not is_logged_in()


def read_wandb_id(path: Path) -> str:
    """W&B run ID stored at `path`. Raises UserError unless valid, since it becomes part of a path and a URL."""
    identity = path.read_text().strip()
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
            id_path.write_text(f"{experiment.id}\n")  # a sweep's agent uses its own id
        return logger
    except Exception as error:  # losing the dashboard must not lose the run
        rank_zero_warn(f"logging without W&B ({reason(error)})")
        return None
