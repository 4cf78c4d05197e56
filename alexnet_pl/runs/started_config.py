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
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from alexnet_pl.config.credentials import check_no_secret
from alexnet_pl.config.isolated_config import composed_files, is_isolated
from alexnet_pl.config.nested_keys import walk_nodes
from alexnet_pl.config.run_config import RUN_CONFIG, holds_keys_alone
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


def write_resolved_values(path: Path, cfg: DictConfig) -> None:
    """Replace environment variables, numbers given as text, and the number of a sweep's job in a command's saved config
    by their values in `cfg`: they may be others, or none, for a later command on the run folder."""
    saved: Any = OmegaConf.load(path)
    nodes = list(walk_nodes(OmegaConf.to_container(saved, resolve=False)))
    texts = {
        key: text for key, text in nodes if isinstance(text, str) and ("${" not in text or not holds_keys_alone(text))
    }
    found = {key: resolve(cfg, key, text) for key, text in texts.items()}
    if changed := {key: value for key, value in found.items() if value != texts[key]}:
        for key, value in changed.items():
            check_no_secret(key, value)
            OmegaConf.update(saved, key, value)
        with replacing(path) as temporary:
            OmegaConf.save(saved, temporary)


def resolve(cfg: DictConfig, key: str, default: Any) -> Any:
    try:
        value = OmegaConf.select(cfg, key, default=default)
        return default if "${" in str(value) else value  # the text of a variable is no interpolation
    except InterpolationResolutionError:  # such as a variable that is not set; a command that reads the key refuses it
        return default


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
        return any(map(is_isolated, composed_files(read_yaml(started / COMMAND)["hydra"])))
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
        joined = keep_last([str(word) for found in words for word in found or []])
        (started / OVERRIDES).write_text(yaml.safe_dump(joined, allow_unicode=True), encoding="utf-8")


def keep_last(words: list[str]) -> list[str]:
    """The last of the overrides of each key, without the command and its checkpoint, which each continuation adds."""
    found: dict[str, str] = {}
    for word in words:
        key = word.lstrip("+~").partition("=")[0]
        found.pop(key, None)
        found[key] = word
    return [word for key, word in found.items() if key not in ("command", "ckpt_path")]


def drop_started_config(folder: Path, written: str | None) -> None:
    """Remove the config of the command that ends. `written`: folder in which Hydra wrote it; commands other than a fit
    write to other folders, and must not remove that of a fit in the same run folder."""
    if is_first_process() and written == STARTED:
        shutil.rmtree(folder / STARTED, ignore_errors=True)
