"""`ensemble`: train, test and average several networks (§7)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands import subruns
from alexnet_pl.commands.evaluate import write_server_file, write_test_result
from alexnet_pl.commands.fit_checks import check_staged_rates
from alexnet_pl.config.options import EnsembleGroup, make_ensemble_options, make_test_section
from alexnet_pl.config.overrides import quote_for_sweep
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.ensemble import average_members
from alexnet_pl.evaluation.ensemble_members import find_members
from alexnet_pl.experiment.build import make_data
from alexnet_pl.paper import matching
from alexnet_pl.runs.layout import PROBABILITIES, results_dir
from alexnet_pl.runs.records import DatasetInfo
from alexnet_pl.runs.started_config import adopt_started_config


def average(cfg: DictConfig, folder: Path) -> float | None:
    """Train and test the members that do not exist yet, then average their saved predictions."""
    options = make_ensemble_options(cfg)
    runs = [Path(run) for run in options.members] + make_members(options.members_to_make(), folder)
    views = make_test_section(cfg).view_set
    readers = find_members(runs, cfg.test.split, views)
    dataset = readers[0].test.dataset
    results = results_dir(folder, dataset.split, views)
    tested, errors = average_members(readers, options, results / PROBABILITIES)
    store = find_tested_store(cfg, dataset)
    if errors is None:
        if not store:
            raise UserError(
                f"data.root: give the store of the tested images, {dataset.name} {dataset.fingerprint[:12]}"
            )
        write_server_file(results, store, dataset.split)
        return None
    claim = matching.matching_claim(tested) if errors["count"] == dataset.images else None
    write_test_result(cfg, folder, results, errors, replace(tested, claim=claim), store)
    return errors["top1_error"]


def make_members(groups: Mapping[str, EnsembleGroup], folder: Path) -> list[Path]:
    """Train and test the members of all groups that do not exist yet. Returns their run folders."""
    inherited = subruns.inherited_overrides()
    for name, group in groups.items():
        check_group(name, group, inherited, folder)
    adopt_started_config(folder)
    runs: list[Path] = []
    for name, group in groups.items():
        words = quote_for_sweep([*group.overrides, *inherited])
        runs += subruns.run_seeds(folder / "members" / name, group.recipe, group.seeds, words)
    return runs


def check_group(name: str, group: EnsembleGroup, inherited: Iterable[str], folder: Path) -> None:
    """Raise UserError for mistakes that the jobs of a new group would meet."""
    subruns.check_named_recipe(f"ensemble.groups.{name}.recipe", group.recipe)
    if (folder / "members" / name).exists():
        return
    of_fit = [word for word in inherited if word.lstrip("+").startswith(("data.", "variant=", "schedule."))]
    composed = compose(group.recipe, [*group.overrides, *of_fit])
    check_staged_rates(composed)
    make_data(composed).check()


def find_tested_store(cfg: DictConfig, dataset: DatasetInfo) -> Store | None:
    """The store at `data.root` if its images are those that the members were tested on. Older records have no
    fingerprint; then the store has the name and a split of these images."""
    root = OmegaConf.select(cfg, "data.root")
    store = Store(root) if root else None
    if store is None:
        return None
    if dataset.fingerprint:
        is_tested = store.fingerprint == dataset.fingerprint
    else:
        is_tested = store.name == dataset.name and dataset.split in store.splits
    return store if is_tested else None
