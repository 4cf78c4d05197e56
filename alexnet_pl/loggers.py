"""Where metrics go: always to `metrics.csv`, and to W&B or TensorBoard."""

import csv
import os
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn

from alexnet_pl.errors import UserError

KINDS = ("wandb", "tensorboard", "csv")


class ContinuedCSV(CSVLogger):
    """Lightning's CSV logger, without its habit of deleting the metrics of the run that is being resumed."""

    @property
    def experiment(self):  # noqa: ANN201 (Lightning's own type is private)
        path = Path(self.log_dir) / "metrics.csv"
        if self._experiment is not None or not path.exists():
            return super().experiment
        kept = path.rename(path.with_suffix(".kept"))
        experiment = super().experiment
        kept.rename(path)
        with path.open(newline="") as file:
            experiment.metrics_keys = next(csv.reader(file), [])
        return experiment


def make_loggers(kind: str, run: Path, project: str) -> list[Logger]:
    """`metrics.csv` in the run folder, and what `kind` names. W&B never asks and never fails a run."""
    if kind not in KINDS:
        raise UserError(f"logger={kind}: one of {', '.join(KINDS)}")
    loggers: list[Logger] = [ContinuedCSV(str(run), name="", version="", flush_logs_every_n_steps=10)]
    if kind == "tensorboard":
        try:
            loggers.append(TensorBoardLogger(str(run), name="tensorboard", version=""))
        except ModuleNotFoundError as error:
            raise UserError('logger=tensorboard: not installed; pip install "alexnet_pl[tensorboard]"') from error
    if kind == "wandb" and (logger := wandb_logger(run, project)):
        loggers.append(logger)
    return loggers


def wandb_logger(run: Path, project: str) -> WandbLogger | None:
    """Online for a person who is logged in, else offline; the run's identity stays when it is resumed."""
    try:
        import wandb

        mode = os.environ.get("WANDB_MODE") or ("online" if wandb.api.api_key else "offline")
        kept = run / "wandb_id.txt"
        identity = kept.read_text().strip() if kept.exists() else wandb.util.generate_id()
        name = "/".join(run.parts[-2:])
        settings = wandb.Settings(silent=True, console="off", init_timeout=30)
        logger = WandbLogger(
            name=name, save_dir=str(run), id=identity, project=project, mode=mode, resume="allow", settings=settings
        )
        _ = logger.experiment
        if not kept.exists():
            kept.write_text(identity + "\n")
        return logger
    except Exception as error:  # whatever it is, losing the dashboard must not lose the run
        rank_zero_warn(f"W&B is left out ({str(error).splitlines()[0] if str(error) else type(error).__name__})")
        return None
