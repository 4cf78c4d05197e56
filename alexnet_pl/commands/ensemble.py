"""`ensemble`: train, test and average several networks (§7)."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands import subruns
from alexnet_pl.commands.evaluate import submit, write_test_result
from alexnet_pl.config import schema
from alexnet_pl.config.options import make_ensemble, make_test
from alexnet_pl.config.overrides import quote_for_sweep
from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation import ensemble, predictions
from alexnet_pl.paper import matching
from alexnet_pl.runs.layout import PROBABILITIES


def average(cfg: DictConfig, folder: Path) -> float | None:
    """`ensemble`: train and test the members that are not there yet, then average what their tests saved."""
    options = make_ensemble(cfg)
    runs = [Path(run) for run in options.members]
    for name, group in options.members_to_make().items():
        words = quote_for_sweep([*group.overrides, *subruns.inherited_overrides()])
        runs += subruns.run_seeds(folder / "members" / name, group.recipe, group.seeds, words)
    views = make_test(cfg).view_set
    readers = ensemble.find_members(runs, cfg.test.split, views)
    about = readers[0].facts["dataset"]
    place = predictions.results_dir(folder, about["split"], views)
    facts, found = ensemble.average_members(readers, options, place / PROBABILITIES)
    store = None if OmegaConf.is_missing(cfg.data, "root") else Store(cfg.data.root)
    if store and store.fingerprint != about["fingerprint"]:
        store = None  # of other images: no pictures of mistakes
    if found is None:
        submit(place, store or Store(schema.store_root(cfg)), about["split"])
        return None
    facts["claim"] = matching.matching_claim(facts) if found["count"] == about["images"] else None
    write_test_result(cfg, folder, place, found, facts, store)
    return found["top1_error"]
