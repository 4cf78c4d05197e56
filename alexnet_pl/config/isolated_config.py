"""Copies of run folders' configs that Hydra composes in their place, in a folder that only this user may write.

Run folders are shared, so nothing in them may configure Hydra, which can run code (`_target_`), write files
(`hydra.job_logging`) and set environment variables (`hydra.job.env_set`).
"""

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

import yaml

from alexnet_pl.cache import open_cache
from alexnet_pl.config.run_config import RUN_CONFIG, check_links, read_own_keys
from alexnet_pl.errors import UserError
from alexnet_pl.temporary_files import replacing

ISOLATED = re.compile(r"[0-9a-f]{16}|alexnet_pl-.*")  # folder of a copy that `isolated_config` writes


def isolated_config(folder: Path, name: str = RUN_CONFIG) -> Path:
    """Write a copy of the run folder's config with only the package's own keys to a private folder; returns its path.

    The path depends only on the content, so the other processes of a run find it, also on a cluster with a shared home.
    Raises UserError if the folder holds links that lead out of it, through which a command would write.
    """
    check_links(folder)
    text = yaml.safe_dump(read_own_keys(folder / name), sort_keys=False, allow_unicode=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        return write_private(open_cache() / "configs", name, text)
    except OSError:  # home folder not writable, or a cache of another user
        return write_temporary(name, text)


def is_isolated(path: Path) -> bool:
    """Whether a file that Hydra composed is a copy of a run folder's config, not a recipe."""
    return path.name == Path(RUN_CONFIG).name and bool(ISOLATED.fullmatch(path.parent.name))


def composed_files(hydra: Any) -> list[Path]:
    """Files that the command line named (`-c`) of a job; `hydra`: its node of that name."""
    folders = [source["path"] for source in hydra["runtime"]["config_sources"] if source["provider"] == "main"]
    return [Path(folder) / f"{hydra['job']['config_name']}.yaml" for folder in folders]


def write_temporary(name: str, text: str) -> Path:
    """Write a copy to this user's folder in the temporary one, or to a new folder if another user has its name."""
    try:
        return write_private(Path(tempfile.gettempdir()) / f"alexnet_pl-{os.getuid()}", name, text)
    except OSError:
        return write_copy(Path(tempfile.mkdtemp(prefix="alexnet_pl-")) / "config.yaml", text)


def write_private(folder: Path, name: str, text: str) -> Path:
    make_private(folder)
    make_private(folder / name)
    return write_copy(folder / name / "config.yaml", text)


def make_private(folder: Path) -> None:
    """Create a folder that only this user may write: Hydra would read settings that others put there. Raises OSError if
    it is a link or another user's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = folder.lstat()  # once: in the temporary folder, others could replace what is not this user's
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not this user's")
    folder.chmod(0o700)


def write_copy(path: Path, text: str) -> Path:
    if others := [one.name for one in path.parent.iterdir() if not one.name.startswith(path.name)]:
        raise UserError(f"{path.parent}: holds {others[0]}, which alexnet_pl did not write; remove the folder")
    if path.is_symlink() or not path.is_file() or path.read_text(encoding="utf-8") != text:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path
