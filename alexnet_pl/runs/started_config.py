"""Config of the command that has started in a run folder.

Hydra writes it before the command has looked at the folder. It is therefore kept apart, in `.hydra/started`, and
becomes the folder's own config only when the command trains there: a refused command must not change what the config
of an earlier run says.
"""

import shutil
from pathlib import Path

from alexnet_pl.config.run_config import RUN_CONFIG
from alexnet_pl.console import is_first_process

STARTED = ".hydra/started"  # Hydra's output_subdir


def find_started_config(folder: Path) -> str:
    """Name within the run folder of the config with which the present command started."""
    started = f"{STARTED}/{Path(RUN_CONFIG).name}"
    return started if (folder / started).is_file() else RUN_CONFIG


def adopt_started_config(folder: Path) -> None:
    """Make the config of the present command the folder's own. Does nothing if Hydra wrote none."""
    if is_first_process():
        for path in sorted((folder / STARTED).glob("*")):
            path.replace(folder / Path(RUN_CONFIG).parent / path.name)
        drop_started_config(folder)


def drop_started_config(folder: Path) -> None:
    if is_first_process():
        shutil.rmtree(folder / STARTED, ignore_errors=True)
