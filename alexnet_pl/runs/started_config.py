"""Config of the command that has started in a run folder.

Hydra writes it before the command has looked at the folder. It is therefore kept apart, in `.hydra/started`, and
becomes the folder's own config only when the command trains there: a refused command must not change what the config
of an earlier run says.
"""

import shutil
from pathlib import Path

from alexnet_pl.config.run_config import RUN_CONFIG
from alexnet_pl.console import is_first_process
from alexnet_pl.temporary_files import replacing

STARTED = ".hydra/started"  # Hydra's output_subdir
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


def adopt_started_config(folder: Path) -> None:
    """Make the config of the present command the folder's own. Does nothing if Hydra wrote none."""
    if is_first_process():
        for path in sorted((folder / STARTED).glob("*")):
            path.replace(folder / Path(RUN_CONFIG).parent / path.name)
        drop_started_config(folder)


def drop_started_config(folder: Path) -> None:
    if is_first_process():
        shutil.rmtree(folder / STARTED, ignore_errors=True)
