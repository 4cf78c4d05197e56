"""Messages of a command that ends in an error: one line on stderr and exit code 2 if the user can correct it."""

import errno
import os
import re
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.cli import signals
from alexnet_pl.config.known_keys import suggest_key
from alexnet_pl.config.recipes import suggest_recipe
from alexnet_pl.console import mask_control
from alexnet_pl.errors import UserError

SPACE, SERVER = "free some space or choose another folder", "check the disk, or the server of the file system"
ACCESS = "choose another folder or change its permissions"
DISK = {  # errors that the user can fix, and how
    errno.ENOSPC: SPACE, errno.EDQUOT: SPACE, errno.EIO: SERVER, errno.ESTALE: SERVER,
    errno.EACCES: ACCESS, errno.EPERM: ACCESS, errno.EROFS: ACCESS, errno.EISDIR: ACCESS, errno.ENOTDIR: ACCESS,
}  # fmt: skip
PLUGINS = {  # packages that bring launchers and sweepers of Hydra
    "joblib": "hydra-joblib-launcher", "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher", "optuna": "hydra-optuna-sweeper",
}  # fmt: skip


def explain(error: Exception) -> None:
    """Exit with a one-line message if the user can correct the error; with 128 + signal if a signal was received."""
    if signals.received:  # a library's clean-up failed after the signal interrupted it
        raise SystemExit(128 + signals.received[0]) from None
    if isinstance(error, UserError):
        fail(str(error))
    if isinstance(error, HydraException | OmegaConfBaseException):
        fail(hydra_message(error))
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        fail("the GPU's memory is full; set a smaller data.batch_size, or performance.cache_on_gpu=false")
    if isinstance(error, FileNotFoundError) and working_folder_is_gone():
        fail("the working folder has been deleted; change to another one (cd), then try again")
    if isinstance(error, OSError) and (error.errno in DISK or made_by_hydra(error)):
        path = error.filename2 or error.filename or "writing"
        advice = DISK.get(error.errno or 0, "choose another folder")
        fail(f"{path}: {error.strerror}; {advice}, then try again")


def working_folder_is_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def made_by_hydra(error: OSError) -> bool:
    """Whether Hydra failed to create the run folder, which happens before a command runs."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(
        Path(frame.filename).parts[-3:-1] == ("hydra", "core") and frame.name == "run_job" for frame in frames[-4:]
    )


def fail(message: str) -> NoReturn:
    print(f"alexnet_pl: {mask_control(message)}", file=sys.stderr)
    raise SystemExit(2)


def hydra_message(error: Exception) -> str:
    """Hydra's message on one line; for an unknown key, its name and the nearest known key."""
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        return f"{found[1]}: unknown key{suggest_key(found[1], getattr(error.__cause__, 'full_key', None) or '')}"
    if found := re.search(
        r"Could not find '([\w/]+)/([^']+)'\s+Available options in '[^']+':\s+([\w\s]+?)\nConfig", text
    ):
        if plugin := PLUGINS.get(found[2]):
            return f"{found[1]}={found[2]}: {plugin} is not installed; pip install {plugin}"
        return f"{found[1]}={found[2]}: one of {', '.join(found[3].split())}"
    if found := re.search(r"^In '([^']+)': Could not (?:load|find) '([^']+)'", text):
        return (
            f"{found[1]}.yaml: defaults: {found[2]}: no recipe beside it or shipped with that name"
            f"{suggest_recipe(Path(found[2]).stem)}"
        )
    if found := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{found[1]}: several values; add -m to run a job for each, or write [value,value] for a list"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {text.splitlines()[0]}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {text.splitlines()[0]}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
