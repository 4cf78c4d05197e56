"""`ensemble`: train, test and average several networks (§7)."""

from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands import subruns
from alexnet_pl.commands.evaluate import write_server_file, write_test_result
from alexnet_pl.commands.fit import check_staged_rates
from alexnet_pl.config import schema
from alexnet_pl.config.options import make_ensemble_options, make_test_section
from alexnet_pl.config.overrides import quote_for_sweep
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation.ensemble import average_members
from alexnet_pl.evaluation.ensemble_members import find_members
from alexnet_pl.experiment.build import make_data
from alexnet_pl.paper import matching
from alexnet_pl.runs.layout import PROBABILITIES, results_dir
from alexnet_pl.runs.started_config import adopt_started_config


def average(cfg: DictConfig, folder: Path) -> float | None:
    """Train and test the members that do not exist yet, then average their saved predictions."""
    options = make_ensemble_options(cfg)
    runs = [Path(run) for run in options.members]
    groups = options.members_to_make()
    inherited = subruns.inherited_overrides()
    words = {name: quote_for_sweep([*group.overrides, *inherited]) for name, group in groups.items()}
    for name, group in groups.items():
        subruns.check_named_recipe(f"ensemble.groups.{name}.recipe", group.recipe)
        if not (folder / "members" / name).exists():  # mistakes are found before the jobs of a sweep start
            sections = ("data.", "variant=", "schedule.")
            of_fit = [word for word in inherited if word.lstrip("+").startswith(sections)]
            composed = compose(group.recipe, [*group.overrides, *of_fit])
            check_staged_rates(composed)
            make_data(composed).check()
    adopt_started_config(folder)
    for name, group in groups.items():
        runs += subruns.run_seeds(folder / "members" / name, group.recipe, group.seeds, words[name])
    views = make_test_section(cfg).view_set
    readers = find_members(runs, cfg.test.split, views)
    dataset = readers[0].test.dataset
    results = results_dir(folder, dataset.split, views)
    tested, errors = average_members(readers, options, results / PROBABILITIES)
    store = None if OmegaConf.is_missing(cfg.data, "root") else Store(cfg.data.root)
    if store and store.fingerprint != dataset.fingerprint:
        store = None  # its images are not the tested ones, so mistakes cannot be shown
    if errors is None:
        write_server_file(results, store or Store(schema.store_root(cfg)), dataset.split)
        return None
    claim = matching.matching_claim(tested) if errors["count"] == dataset.images else None
    write_test_result(cfg, folder, results, errors, replace(tested, claim=claim), store)
    return errors["top1_error"]
