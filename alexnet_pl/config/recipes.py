"""Recipes (YAML files of the package or the user, configs of run folders) and their overrides, `key=value`."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.run_config import RUN_CONFIG, check_recipe, isolated_config, walk_nodes
from alexnet_pl.errors import UserError

PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = PACKAGE.parent / "configs" if (PACKAGE.parent / "configs/_base.yaml").is_file() else PACKAGE / "configs"


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
        return "neither a run folder nor a recipe, whose name ends in .yaml"
    if path.is_symlink():
        return f"a link to {path.resolve()}, which does not exist; if the run was moved, give its new folder"
    if "runs" in path.parts:
        return "no such run folder"
    near = difflib.get_close_matches(path.stem, recipe_names(), 1)
    return f"no such file or shipped recipe{f'; did you mean {near[0]}?' if near else ' (--help lists them)'}"


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


def compose(name: str, overrides: Iterable[str] = (), with_hydra: bool = False) -> DictConfig:
    """Compose a recipe as the command line does, also within a running command. `with_hydra`: include the node
    `hydra`."""
    from hydra import compose as hydra_compose  # not at the top, since `--help` does not need Hydra
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    path, held = config_for_hydra(find_recipe(name)), GlobalHydra.instance().hydra
    search = f"hydra.searchpath=[file://{SHIPPED}]"
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(path.parent), version_base="1.3"):
            return hydra_compose(path.stem, [search, *overrides], return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{name} {' '.join(overrides)}: {' '.join(str(error).split())}") from error
    finally:
        GlobalHydra.instance().hydra = held


GUARDED = ("job_logging", "hydra_logging", "callbacks", "job.env_set", "mode")
"""Nodes of Hydra that write files, call code, set environment variables or start a sweep before a command runs."""
PLUGINS = re.compile(
    r"(hydra_plugins|hydra\._internal\.core_plugins)[\w.]*\.\w+(Launcher|Sweeper)|optuna\.samplers\.\w+"
)
"""Classes that `_target_` may name: the launchers and sweepers that `defaults` choose."""


SWEPT = re.compile(r"[,(]")  # in an override: values of a sweep, or brackets with a comma


def check_hydra_settings(recipe: Path, overrides: Iterable[str]) -> None:
    """Raise UserError if a user's recipe, composed with overrides, names code to call or changes a node in `GUARDED` in
    any way.

    Overrides of these nodes on the command line are allowed, since they are the user's own.
    """
    if (folder := recipe.parent / "hydra").is_dir():
        raise UserError(f"{folder}: not allowed beside a recipe: Hydra would read its own settings there; rename it")
    typed = [word for word in overrides if word.lstrip("+").startswith("hydra/")]
    words = [word for word in overrides if word in typed or not word.lstrip("+~").startswith("hydra")]
    try:
        shipped_base = compose(str(SHIPPED / "_base.yaml"), typed, with_hydra=True)
    except UserError:  # the command line cannot compose it either
        return
    try:
        found = [compose(str(recipe), words, with_hydra=True)]
    except UserError:
        if not any(SWEPT.search(word) for word in words):
            return
        found = [compose(str(recipe), job, with_hydra=True) for job in sweep_jobs(recipe, words)]
    if own := sweep_words(recipe, found[0]):
        found += [compose(str(recipe), job, with_hydra=True) for job in sweep_jobs(recipe, [*words, *own])]
    for composed in found:
        check_guarded(recipe, composed, shipped_base)
        check_targets(recipe, composed, shipped_base)


def sweep_words(recipe: Path, composed: DictConfig) -> list[str]:
    """Overrides that a recipe itself sweeps over."""
    sweeper: Any = OmegaConf.to_container(composed.hydra, resolve=False)["sweeper"]  # type: ignore[index, call-overload]
    params = (sweeper.get("params") or {}) if isinstance(sweeper, dict) else sweeper
    if not isinstance(params, dict):
        raise UserError(f"{recipe}: hydra.sweeper.params={params}: expected a section of keys")
    return [f"{key}={value}" for key, value in params.items()]


def sweep_jobs(recipe: Path, words: Iterable[str]) -> Iterator[list[str]]:
    """Overrides without those that are swept, then with each file beside the recipe that a sweep chooses."""
    swept = [word for word in words if SWEPT.search(word)]
    plain = [word for word in words if word not in swept]
    yield plain
    for key, _, value in (word.partition("=") for word in swept):
        if (recipe.parent / key.strip("+/").partition("@")[0]).is_dir():
            if "(" in value:
                raise UserError(f"{key}={value}: write the names, with commas between them: each file is checked")
            yield from ([*plain, f"{key}={name}"] for name in value.split(","))


def check_guarded(recipe: Path, composed: DictConfig, shipped_base: DictConfig) -> None:
    found, own = (OmegaConf.to_container(one.hydra, resolve=False) for one in (composed, shipped_base))
    for node in GUARDED:
        if find_node(found, node) != find_node(own, node):
            raise UserError(f"{recipe}: it sets hydra.{node}, which is not allowed in a recipe")


def find_node(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def check_targets(recipe: Path, composed: DictConfig, shipped_base: DictConfig) -> None:
    """Raise UserError if a composed recipe names code other than `PLUGINS`, which Hydra's sweepers would call, or makes
    nodes out of text."""
    typed = dict(walk_nodes(OmegaConf.to_container(shipped_base, resolve=False)))
    for key, value in walk_nodes(OmegaConf.to_container(composed, resolve=False)):
        is_target = key.split(".")[-1] == "_target_"
        if is_target and typed.get(key) != value and not (key.startswith("hydra.") and PLUGINS.fullmatch(str(value))):
            raise UserError(f"{recipe}: {key}={value}: a recipe must not name code to call")
        if isinstance(value, str) and key.startswith("hydra.") and re.search(r"oc\.(create|decode)", value):
            raise UserError(f"{recipe}: {key}={value}: not allowed in a recipe")


PATHS = (
    "data.root", "prepare.source", "prepare.synsets", "bench.output", "report.output", "predict.images", "ckpt_path",
    "transfer.weights", "hydra.run.dir", "hydra.sweep.dir", "codes.features", "retrieval.codes", "test.data",
    "test.labels", "report.runs", "prepare.boxes", "detect.blacklist",
)  # fmt: skip
STORES = "transfer.data_roots."  # these keys are paths too
# keys that recipes or older run folders may lack
LATER = (
    "model.width=", "trainer.", "schedule.logged", "transfer.network=", "transfer.freeze=", "transfer.rates.",
    "features.", "probe.", "retrieval.", "monitor.", "wandb.entity=", "report.output=", "test.scales=", "test.stride=",
    "test.aspect=", "test.score=", "data.shuffle=", "model.unit_biases=", "schedule.plateau.bias_drop=",
)  # fmt: skip
# keys whose list may be written without brackets: 1,2,4,6
LISTS = ("test.scales", "probe.shots", "probe.penalties", "transfer.layers", "transfer.freeze", "model.unit_biases")


def is_override(word: str) -> bool:
    """Whether a word is an override (`key=value`, `+key=value`, `~key`), not a flag of Hydra (`-m`, `--cfg job`)."""
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def allow_new_key(word: str, sweep: bool = False) -> str:
    """Prefix or quote an override so that Hydra accepts paths with special characters, and keys that the recipe lacks,
    such as options of Lightning's Trainer."""
    key, _, value = word.partition("=")
    if key in LISTS and not sweep and value[:1] != "[" and value != "null":
        word = f"{key}=[{value}]"
    if (
        (key in PATHS or key.startswith(STORES))
        and not sweep
        and value[:1] not in ("'", '"', "[", "$")
        and value != "null"
    ):
        return f"{key}={quote_value(os.path.expanduser(value))}"
    return f"++{word}" if word.startswith(LATER) else word


def quote_value(value: str) -> str:
    """Quote a value so that Hydra takes commas and braces literally."""
    return "'" + value.replace("'", "\\'") + "'"


def quote_literal(value: str) -> str:
    """Quote a value of a config or a path that becomes a word of a command line: `${` is text, not an interpolation."""
    return quote_value(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))


def format_override(key: str, value: object) -> str:
    """Override `key=value` of a plain value: booleans in YAML's spelling, lists without spaces."""
    text = str(value)
    if isinstance(value, bool):
        text = text.lower()
    elif isinstance(value, list):
        text = text.replace(" ", "")
    return f"{key}={text}"


def quote_for_sweep(words: Iterable[str]) -> list[str]:
    """Quote overrides of a single run for use in a sweep, where an unquoted comma separates values."""
    return [word if "," not in word or re.search(r"['\"\[{]", word) else quote_override(word) for word in words]


def quote_override(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key}={quote_value(value)}"


def suggest_key(key: str, missing: str = "") -> str:
    """Text "; did you mean …?" with the nearest key of the shipped recipes: a misspelled key first, then the same key
    in another section. `missing`: the outermost part of the key that the recipe lacks."""
    keys, last = sorted(known_keys()), key.rpartition(".")[2]
    if key in keys and missing not in ("", key):
        return f"; this recipe has no section {missing}"
    if key in keys:
        return f"; this recipe does not set it: write +{key}=…"
    same = [name for name in keys if name.rpartition(".")[2] == last]
    found = difflib.get_close_matches(key, keys, 1, 0.9) or same[:1] or difflib.get_close_matches(key, keys, 1)
    return f"; did you mean {found[0]}?" if found else "; --cfg job prints all keys"


NOT_TYPED = ("hydra", "defaults", "command")  # Hydra's, and the first word of the command line


def known_keys() -> set[str]:
    """Dotted keys of all shipped recipes that a user can set."""
    keys: set[str] = set()
    for path in [*SHIPPED.glob("*.yaml"), *SHIPPED.glob("variant/*.yaml")]:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        own = {key: config[key] for key in config if key not in NOT_TYPED} if isinstance(config, dict) else {}
        keys |= set(dotted(own))
    return keys


def dotted(config: dict, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")
