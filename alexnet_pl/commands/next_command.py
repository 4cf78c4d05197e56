"""Suggest the command to type next, as the last line of output: `next: python -m alexnet_pl test runs/demo/…`."""

import shlex
from importlib.util import find_spec
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands.dispatch import kind_of
from alexnet_pl.commands.registry import Command
from alexnet_pl.commands.typed_overrides import typed_overrides
from alexnet_pl.config.isolated_config import composed_files, is_isolated
from alexnet_pl.config.recipes import SHIPPED
from alexnet_pl.config.schema import store_root
from alexnet_pl.config.sections import SCENES
from alexnet_pl.console import shorten_path, suggest
from alexnet_pl.errors import UserError
from alexnet_pl.files import modified
from alexnet_pl.runs.layout import LAST, RESULT, collect_runs, is_run
from alexnet_pl.training.wandb_login import is_offline


def suggest_next(command: Command, folder: Path, cfg: DictConfig | None = None) -> None:
    """Print the next command, unless there is none or part of its line is unknown."""
    following = command.next_by_kind.get(kind_of(cfg), command.next) if cfg else command.next
    if following == "dashboard" and is_offline():
        following = "figures {tested}"
    if following and following.startswith("page") and not find_spec("starlette"):
        following = "report"  # the demo app is an extra
    if not following or (cfg and cfg.command == "prepare" and cfg.prepare.part):
        return  # a part of a store is not a complete store yet
    finders = {
        "run": lambda: run_words(folder),
        "recipe": recipe_words,
        "data": lambda: data_words(cfg) if cfg else [],
        "tested": lambda: tested_words(cfg) if cfg else [],
    }
    words = {name: find() for name, find in finders.items() if f"{{{name}}}" in following}
    if all(words.values()):
        suggest(following.format(**{name: shlex.join(found) for name, found in words.items()}))


def run_words(folder: Path) -> list[str]:
    """A run folder: `folder`, or in a folder of runs the first one with a checkpoint; empty if there is none."""
    runs = [folder] if is_run(folder) or not folder.is_dir() else collect_runs([folder], LAST)
    return [shorten_path(run) for run in runs[:1]]


def tested_words(cfg: DictConfig) -> list[str]:
    """The classifier's run with the newest test among those that `report` read; empty if there is none."""
    from alexnet_pl.reporting.report_runs import report_roots  # not at the top, since `--help` needs no tables

    runs = [run for run in collect_runs(report_roots(cfg), RESULT) if (run / LAST).is_file()]
    newest = sorted(runs, key=lambda run: modified(run / RESULT))[-1:]
    return [shorten_path(run) for run in newest]


def recipe_words() -> list[str]:
    """Argument of `-c`: a shipped recipe or the user's file; empty if the config is neither."""
    (path,) = composed_files(HydraConfig.get())
    if path.name.startswith("_") or is_isolated(path):
        return []
    return [path.stem if path.parent == SHIPPED else shorten_path(path)]


def name_recipe(error: UserError, cfg: DictConfig) -> UserError:
    """An error that advises `prepare -c RECIPE prepare.source=COPY`, with the recipe of this command, and without the
    copy for images that the package draws."""
    message = str(error)
    if recipe := recipe_words():
        message = message.replace("-c RECIPE", f"-c {shlex.join(recipe)}")
    if str(OmegaConf.select(cfg, "data.name", throw_on_missing=False)).startswith(SCENES):
        message = message.replace("prepare.source=COPY", f"prepare.source={SCENES}")
    return UserError(message)


def data_words(cfg: DictConfig) -> list[str]:
    """Overrides that open the store in the next command: its folder, the name and size that were typed, a crop that
    fits this size, and the number of its classes if the recipe's network has another one."""
    if OmegaConf.is_missing(cfg.data, "root"):
        return []
    root, typed = f"data.root={cfg.data.root}", typed_overrides()
    if OmegaConf.select(cfg, "transfer.network") == "weights":  # which set size, crop and number of classes
        weights = [word for word in typed if word.startswith("transfer.weights=")]
        return [root, *(weights or ["transfer.weights=RUN"])]
    words = [word for word in typed if word.startswith(("data.name=", "data.size="))]
    crop = (cfg.get("augment") or {}).get("crop")
    from alexnet_pl.data.store.store import Store  # imports torch: not at the top, so that --help is instant

    classes = len(Store(store_root(cfg), check=False).classes)
    if crop and crop > cfg.data.size:
        fitting = find_crop(cfg, classes)
        if not fitting:
            return []
        words.append(f"augment.crop={fitting}")
    if (cfg.get("model") or {}).get("num_classes") not in (None, classes):  # null: the store's
        words.append(f"model.num_classes={classes}")
    return [root, *words]


def find_crop(cfg: DictConfig, classes: int) -> int | None:
    """Largest crop, from the usual one of the stored size downwards, that the recipe's network takes; None if there is
    none."""
    from alexnet_pl.data.loading.augment import suitable_crop
    from alexnet_pl.models.networks import takes_crop

    usual = suitable_crop(cfg.data.size)
    if "model" not in cfg:  # networks of boxes and codes keep their classifier's crop
        return usual
    model = {**dict(cfg.model), "num_classes": classes}
    return next((crop for crop in range(usual, 0, -1) if takes_crop(model, crop)), None)
