"""W&B logger that neither ends a run nor keeps it waiting: its helper process may die, and its server may be down."""

import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from alexnet_pl.console import print_warning, shorten_path
from alexnet_pl.errors import UserError, reason
from alexnet_pl.runs.title import name_run
from alexnet_pl.training.wandb_login import is_offline

WANDB_ID = "wandb_id.txt"
INIT_TIMEOUT = 30.0  # seconds
FINISH_TIMEOUT = 300.0  # seconds for the last uploads, of checkpoints too, if WANDB_FINISH_TIMEOUT is not set
warn = rank_zero_only(print_warning)


class SafeWandbLogger(WandbLogger):
    """Never raises. Turns itself off, with one warning, if W&B does not take metrics, as when its helper process died.

    A table or picture that W&B does not take is left out: that needs the server, for which metrics wait in a file.
    """

    is_off = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        are_numbers = all(isinstance(value, int | float) for value in metrics.values())
        self.attempt(partial(super().log_metrics, metrics, step), vital=are_numbers)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        self.attempt(partial(super().log_hyperparams, params))

    def attempt(self, log: Callable[[], None], vital: bool = True) -> None:
        if self.is_off:
            return
        try:
            log()
        except Exception as error:
            if not vital:
                return print_warning(f"not logged ({reason(error)})")
            self.is_off = True
            later = describe_upload(self.experiment)
            print_warning(f"W&B failed ({reason(error)}): the rest of the run is logged without it; {later}")
            close_connection()


def make_wandb_logger(run: Path, project: str, entity: str | None = None) -> SafeWandbLogger | None:
    """W&B logger, online if the user is logged in and W&B can be reached, else offline; None, with a warning, if W&B
    fails.

    Never prompts and never fails a run. A resumed run keeps its W&B run ID.
    """
    try:
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_DATA_DIR", str(run.absolute() / "wandb"))  # for images of tables until synced
        replace_unwritable_cache(run)
        id_path = run / WANDB_ID
        identity = read_wandb_id(id_path) if id_path.exists() else secrets.token_hex(4)
        names = {"name": name_run(run), "save_dir": str(run), "id": identity, "project": project, "entity": entity}
        logger = start_run(names, os.environ.get("WANDB_MODE") or ("offline" if is_offline() else "online"))
        if rank_zero_only.rank == 0 and logger.experiment.offline:
            print(f"W&B: offline, in {shorten_path(run)}/wandb until `wandb sync`; logger=csv turns it off", flush=True)
        if rank_zero_only.rank == 0 and not id_path.exists():
            id_path.write_text(f"{logger.experiment.id}\n", encoding="utf-8")  # a sweep's agent uses its own id
        return logger
    except Exception as error:  # losing the dashboard must not lose the run
        warn(f"logging without W&B ({reason(error)})")
        return None


def replace_unwritable_cache(run: Path) -> None:
    """Give W&B's helper process a cache in the run folder if it cannot write into the user's, where its log is; it
    would print the log."""
    from wandb.env import get_cache_dir

    with suppress(OSError):
        get_cache_dir().mkdir(parents=True, exist_ok=True)
    if not os.access(get_cache_dir(), os.W_OK):
        os.environ["WANDB_CACHE_DIR"] = str(run.absolute() / "wandb/cache")


def read_wandb_id(path: Path) -> str:
    """W&B run ID stored at `path`. Raises UserError unless valid, since it becomes part of a path and a URL."""
    identity = path.read_text(encoding="utf-8").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", identity):
        raise UserError(f"{path}: not a W&B run ID; remove the file to start a new W&B run")
    return identity


def start_run(names: Mapping[str, Any], mode: str) -> SafeWandbLogger:
    """Start or resume a W&B run; offline if `mode` is "online" and that fails, so that it can be uploaded later."""
    import wandb

    limit = float(os.environ.get("WANDB_FINISH_TIMEOUT") or FINISH_TIMEOUT)
    limits = {"init_timeout": INIT_TIMEOUT, "finish_timeout": limit, "finish_timeout_raises": True}
    settings = wandb.Settings(silent=True, console="off", **limits)
    logger = SafeWandbLogger(**names, resume="allow", mode=mode, settings=settings)
    logger._wandb_init.pop("anonymous", None)  # Lightning passes None, and wandb warns of any value
    try:
        _ = logger.experiment
    except Exception as error:
        if mode != "online":
            raise
        warn(f"W&B did not start online ({reason(error)})")
        close_connection()  # the helper process holds the run's ID
        return start_run(names, "offline")
    return logger


def finish() -> None:
    """Close this process's W&B run, which the next job of a sweep would continue; give up after
    WANDB_FINISH_TIMEOUT seconds."""
    wandb = sys.modules.get("wandb")
    if not wandb or not wandb.run:
        return
    run = wandb.run
    limit = f"WANDB_FINISH_TIMEOUT={run.settings.finish_timeout:g} seconds"
    note = Timer(10, print_warning, [f"W&B is still uploading ({limit}) …"])
    note.start()
    try:
        run.finish()
    except Exception as error:
        print_warning(f"W&B did not get everything ({reason(error)}); {describe_upload(run)}")
        close_connection()
    finally:
        note.cancel()


def describe_upload(run: Any) -> str:
    """Command that uploads the files of a W&B run later."""
    return f"upload what is in its files by `wandb sync {shorten_path(Path(run.settings.sync_dir))}`"


def close_connection() -> None:
    """Forget the W&B run and its helper process, which may be dead, so that the next job of a sweep starts a new one,
    and that nothing is left that would fail when Python exits."""
    import wandb

    with suppress(Exception):
        wandb.finish()
    with suppress(Exception, SystemExit):  # SystemExit if the helper process ended with an error
        wandb.teardown()
    wandb.run = None  # still set if it could not be finished
