"""The cache folder of this user: verified stores, parts of remote ones, private copies of configs."""

import errno
import os
import stat
from pathlib import Path

from alexnet_pl.errors import UserError

CACHE = "ALEXNET_PL_CACHE"  # environment variable that names the cache folder
DEFAULT_CACHE = "~/.cache/alexnet_pl"


def open_cache() -> Path:
    """The cache folder, made for this user alone if it is missing. Raises UserError if another user, except the group,
    may write to it, and OSError if there is no home folder."""
    try:
        folder = Path(os.environ.get(CACHE, DEFAULT_CACHE)).expanduser()
    except RuntimeError as error:  # no HOME, as of a container's user without a name
        raise OSError(errno.EACCES, f"no home folder, set {CACHE}=FOLDER", DEFAULT_CACHE) from error
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = folder.stat()
    if about.st_mode & stat.S_IWOTH or (about.st_uid not in (os.geteuid(), 0) and os.geteuid()):
        raise UserError(f"{CACHE}: other users may write to {folder}; choose another folder: {CACHE}=FOLDER")
    return folder
