"""`ensemble`: the averaged predictions of several networks (§7)."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from alexnet_pl import claims, ensemble, evaluate, recipe, section
from alexnet_pl.commands import subruns
from alexnet_pl.commands.evaluate import settle, submit
from alexnet_pl.config.overrides import swept
from alexnet_pl.data.store import Store
from alexnet_pl.runs.layout import PROBABILITIES


def average(cfg: DictConfig, folder: Path) -> float | None:
    """`ensemble`: train and test the members that are not there yet, then average what their tests saved."""
    options = recipe.make_ensemble(cfg)
    runs = [Path(run) for run in options.members]
    for name, group in options.members_to_make().items():
        words = swept([*group.overrides, *subruns.forwarded()])
        runs += subruns.sweep(folder / "members" / name, group.recipe, group.seeds, words)
    readers = ensemble.find_members(runs, cfg.test.split, cfg.test.views)
    about = readers[0].facts["dataset"]
    place = evaluate.place(folder, about["split"], cfg.test.views)
    facts, found = ensemble.run(readers, options, place / PROBABILITIES)
    store = None if OmegaConf.is_missing(cfg.data, "root") else Store(cfg.data.root)
    if store and store.fingerprint != about["fingerprint"]:
        store = None  # of other images: no pictures of mistakes
    if found is None:
        submit(place, store or Store(section.root(cfg)), about["split"])
        return None
    facts["claim"] = claims.answered(facts) if found["count"] == about["images"] else None
    settle(cfg, folder, place, found, facts, store)
    return found["top1_error"]
