"""Recipes: YAML files of the package or the user, and configs of run folders."""

import difflib
import os
from collections import UserDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, open_dict
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.isolated_config import isolated_config
from alexnet_pl.config.recipe_files import check_recipe
from alexnet_pl.config.run_config import RUN_CONFIG
from alexnet_pl.errors import UserError

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = PACKAGE.parent / "configs" if (PACKAGE.parent / "configs/_base.yaml").is_file() else PACKAGE / "configs"
COMPOSING = RLock()  # Hydra's state and OmegaConf's resolvers belong to the whole process


def recipe_names() -> list[str]:
    """Names of the shipped recipes, without the parts of recipes, whose names start with an underscore."""
    return sorted(path.stem for path in SHIPPED.glob("[!_]*.yaml"))


def find_recipe(name: str) -> Path:
    """Resolve `-c NAME`: a file or run folder, else a shipped recipe (`configs/x.yaml`, `x`)."""
    if not name:
        raise UserError("no recipe given: add -c NAME, a shipped recipe (--help lists them) or your own file")
    given = Path(name)
    if (given / RUN_CONFIG).is_file():
        return given.resolve() / RUN_CONFIG
    if given.is_file() and given.suffix == ".yaml":
        return locate_recipe(given)
    shipped = SHIPPED / f"{given.stem}.yaml"
    if shipped.is_file() and not (given.is_dir() and name != given.stem):
        return shipped
    raise UserError(f"{name}: {reason_not_found(given)}")


def locate_recipe(path: Path) -> Path:
    """Absolute path of a recipe without links, or of the config of a run folder, whose own links are kept, for
    `check_links` to refuse: a linked config must not pass as a recipe, which is trusted."""
    for form in forms_of_path(path):
        if is_run_config(form):
            return form.parent.parent.resolve() / RUN_CONFIG
        if ".hydra" in lower_parts(form):
            raise UserError(f"{path}: lies in the .hydra of a run folder, so it is no recipe; give the run folder")
    followed = path.resolve()
    if followed.suffix != ".yaml":
        raise UserError(f"{path}: links to {followed}; a recipe's name ends in .yaml")
    return followed


def forms_of_path(path: Path) -> Iterator[Path]:
    """Absolute forms of a path, of the file that it links to, and so on: with links in the folder followed, and not."""
    while True:
        yield path.parent.resolve() / path.name
        yield Path(os.path.abspath(path))
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()


def is_run_config(path: Path) -> bool:
    return lower_parts(path)[-2:] == Path(RUN_CONFIG).parts


def lower_parts(path: Path) -> tuple[str, ...]:
    """Parts of a path in lower case, since some file systems take .Hydra for .hydra."""
    return tuple(part.lower() for part in path.parts)


def reason_not_found(path: Path) -> str:
    """Reason why a recipe or run folder was not found, with the nearest match."""
    if (path / "store.json").is_file():
        return f"a prepared store, not a run folder; give a recipe or a run, and the store as data.root={path}"
    if path.is_dir():
        return f"not a run folder (no {RUN_CONFIG} in it){describe_runs_inside(path)}"
    if path.is_file() and path.suffix == ".ckpt":
        return f"a checkpoint; give its run folder, and ckpt_path={path} if it is not the last"
    if path.is_file():
        advice = f"; rename it to {path.stem}.yaml" if path.suffix.lower() in (".yml", ".yaml") else ""
        return f"neither a run folder nor a recipe, whose name ends in .yaml{advice}"
    if path.is_symlink():
        return f"a link to {path.resolve()}, which does not exist; if the run was moved, give its new folder"
    if "runs" in path.parts:
        return "no such run folder"
    beside = Path(f"{path}.yaml")
    advice = f"; did you mean {beside}?" if beside.is_file() else suggest_recipe(path.stem)
    return f"no such file or shipped recipe{advice}"


def suggest_recipe(name: str) -> str:
    """Text "; did you mean …?" with the nearest shipped recipe."""
    near = difflib.get_close_matches(name, recipe_names(), 1)
    return f"; did you mean {near[0]}?" if near else " (--help lists them)"


def describe_runs_inside(folder: Path) -> str:
    """ "; the newest run in it: …", or "" if there is none."""
    runs = [config.parents[1] for config in folder.glob(f"*/{RUN_CONFIG}")]
    return f"; the newest run in it: {max(runs, key=lambda run: run.stat().st_mtime)}" if runs else ""


def config_for_hydra(path: Path) -> Path:
    """File for Hydra to compose: for a run folder, a copy without settings for Hydra; for a recipe, the file itself."""
    if is_run_config(path):
        return isolated_config(path.parent.parent)
    if path.parent != SHIPPED:
        check_recipe(path)
    return path


def compose(name: str, overrides: Iterable[str] = ()) -> DictConfig:
    """Compose a recipe as the command line does, also within a running command. Without the node `hydra`."""
    from hydra.errors import HydraException  # not at the top, since `--help` does not need Hydra

    try:
        config = compose_file(config_for_hydra(find_recipe(name)), overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{name} {' '.join(overrides)}: {' '.join(str(error).split())}") from error
    with open_dict(config):
        del config["hydra"]
    return config


def compose_file(path: Path, overrides: Iterable[str], sweep: bool = False) -> DictConfig:
    """Compose a file with Hydra; its errors are raised as they are. `sweep`: compose what a sweep starts from, without
    the files that its jobs choose."""
    from hydra.types import RunMode

    with open_hydra(path) as hydra:
        mode = RunMode.MULTIRUN if sweep else RunMode.RUN
        return hydra.compose_config(path.stem, [*overrides], mode, from_shell=False)


@contextmanager
def open_hydra(path: Path) -> Iterator["Hydra"]:
    """Hydra with the search path that the command line gives it, for one thread at a time.

    The shipped recipes are added as --config-dir adds them, not by an override of hydra.searchpath, in whose grammar
    letters and signs of a path have a meaning.
    """
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra

    search = create_config_search_path(str(path.parent))
    search.prepend("command-line", f"file://{SHIPPED}", SearchPathQuery(provider="schema"))
    with COMPOSING, no_resolvers():
        held = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            version.setbase("1.3")
            yield Hydra.create_main_hydra2("app", search)
        finally:
            GlobalHydra.instance().hydra = held


class HiddenResolvers(UserDict[str, Any]):
    """OmegaConf's resolvers, which the thread that hides them does not find."""

    def __init__(self, held: Any) -> None:
        self.data, self.thread = held, get_ident()  # no copy: other threads may register resolvers meanwhile

    def __contains__(self, name: object) -> bool:
        return get_ident() != self.thread and name in self.data


@contextmanager
def no_resolvers() -> Iterator[None]:
    """Refuse defaults that choose a file by time or environment (`${now:…}`, `${oc.env:…}`): another process or a later
    one would read other files than those that were checked. Values of a config are not resolved here."""
    held: Any = BaseContainer._resolvers
    BaseContainer._resolvers = HiddenResolvers(held)  # type: ignore[assignment]
    try:
        yield
    finally:
        BaseContainer._resolvers = held
