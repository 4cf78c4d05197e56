"""Config of the command that has started in a run folder.

Hydra writes it before the command has looked at the folder. It is therefore kept apart, in `.hydra/started`, and
becomes the folder's own config only when the command trains there: a refused command must not change what the config
of an earlier run says.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from alexnet_pl.config.run_config import RUN_CONFIG
from alexnet_pl.config.yaml_file import load_yaml, read_yaml
from alexnet_pl.console import is_first_process
from alexnet_pl.errors import UserError
from alexnet_pl.temporary_files import replacing

STARTED = ".hydra/started"  # Hydra's output_subdir
HELD = ".hydra/held"  # the same of the fit that has the folder's lock
COMMAND, OVERRIDES = "hydra.yaml", "overrides.yaml"  # other files of Hydra's: the command's recipe and its overrides
JOB_NUMBER = "${hydra:job.num}"  # number of a job of a sweep, as in trainer.devices=[${hydra:job.num}]


def find_started_config(folder: Path) -> str:
    """Name within the run folder of the config with which the present command started."""
    started = f"{STARTED}/{Path(RUN_CONFIG).name}"
    return started if (folder / started).is_file() else RUN_CONFIG


def write_job_number(path: Path, number: int) -> None:
    """Replace `JOB_NUMBER` in the config of a sweep's job, since it has no meaning outside of the sweep."""
    if JOB_NUMBER in (text := path.read_text(encoding="utf-8")):
        with replacing(path) as temporary:
            temporary.write_text(text.replace(JOB_NUMBER, str(number)), encoding="utf-8")


@contextmanager
def hold_started_config(folder: Path) -> Iterator[None]:
    """Keep the config of a fit, once it has the folder's lock, apart from that of the next fit, which writes its own
    before it finds the folder in use."""
    if not is_first_process():
        yield
        return
    try:
        shutil.rmtree(folder / HELD, ignore_errors=True)  # of a killed command
        if (folder / STARTED).is_dir():
            (folder / STARTED).replace(folder / HELD)
        yield
    finally:
        shutil.rmtree(folder / HELD, ignore_errors=True)


def adopt_started_config(folder: Path) -> None:
    """Make the config of the present command the folder's own. Does nothing if Hydra wrote none."""
    if is_first_process():
        own, held = (folder / RUN_CONFIG).parent, folder / HELD
        started = held if held.is_dir() else folder / STARTED
        if (own / COMMAND).is_file() and is_of_run_folder(started):
            keep_first_command(own, started)
        for path in sorted(started.glob("*")):
            path.replace(own / path.name)
        shutil.rmtree(started, ignore_errors=True)


def is_of_run_folder(started: Path) -> bool:
    """Whether a command read its config from a run folder (`fit RUN key=value`), not from a recipe."""
    try:
        return read_yaml(started / COMMAND)["hydra"]["job"]["config_name"] == Path(RUN_CONFIG).stem
    except (UserError, KeyError, TypeError):
        return False


def keep_first_command(own: Path, started: Path) -> None:
    """Keep the recipe of a run that continues, with its overrides before the new ones: `export` writes the command that
    repeats the training. The config names no checkpoint, whose path becomes wrong when the folder is moved."""
    (started / COMMAND).unlink()
    config: Any = OmegaConf.load(started / Path(RUN_CONFIG).name)
    if config.get("ckpt_path") != "auto":
        config.ckpt_path = None
        OmegaConf.save(config, started / Path(RUN_CONFIG).name)
    with suppress(UserError):  # a corrupt file is replaced
        words = [load_yaml(path / OVERRIDES) if (path / OVERRIDES).is_file() else [] for path in (own, started)]
        joined = [str(word) for found in words for word in found or []]
        (started / OVERRIDES).write_text(yaml.safe_dump(joined, allow_unicode=True), encoding="utf-8")


def drop_started_config(folder: Path) -> None:
    if is_first_process():
        shutil.rmtree(folder / STARTED, ignore_errors=True)
