"""Recipes: YAML files shipped with the package, files of the user's own, and the configs of run folders."""

from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.run_config import check_recipe, isolated_config
from alexnet_pl.errors import UserError

RUN_CONFIG = ".hydra/config.yaml"  # in a run folder
PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = PACKAGE.parent / "configs" if (PACKAGE.parent / "configs/_base.yaml").is_file() else PACKAGE / "configs"


def recipe_names() -> list[str]:
    """The shipped recipes; files that start with an underscore are parts of others."""
    return sorted(path.stem for path in SHIPPED.glob("[!_]*.yaml"))


def shipped(name: str) -> bool:
    return (SHIPPED / f"{name}.yaml").is_file()


def find_recipe(name: str) -> Path:
    """Resolve `-c NAME`: a file or run folder here, else one shipped with the package (`configs/x.yaml`, `x`)."""
    if not name:
        raise UserError(
            "which recipe? add -c demo, -c configs/ilsvrc2012.yaml or a file of your own (--help lists them)"
        )
    for path in (Path(name), Path(name) / RUN_CONFIG, SHIPPED / f"{Path(name).stem}.yaml"):
        if path.is_file():
            return path.resolve()
    if Path(name).is_dir():
        raise UserError(f"-c {name}: not a run folder (no {RUN_CONFIG} in it)")
    raise UserError(f"-c {name}: there is no such file here, and none of that name in {SHIPPED}")


def config_for_hydra(path: Path) -> Path:
    """The file that Hydra composes: a run folder's config without anything that Hydra would obey, a recipe as it is."""
    if path.parent.name == ".hydra":
        return isolated_config(path.parent.parent)
    if path.parent != SHIPPED:
        check_recipe(path)
    return path


def compose(name: str, overrides: Iterable[str] = ()) -> DictConfig:
    """A recipe as the command line would compose it, also from within a running command."""
    from hydra import compose as hydra_compose  # not at the top: `--help` does without Hydra
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    path, held = config_for_hydra(find_recipe(name)), GlobalHydra.instance().hydra
    search = f"hydra.searchpath=[file://{SHIPPED}]"
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(path.parent), version_base="1.3"):
            return hydra_compose(path.stem, [search, *overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{name} {' '.join(overrides)}: {' '.join(str(error).split())}") from error
    finally:
        GlobalHydra.instance().hydra = held
