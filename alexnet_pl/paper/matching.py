"""Match a test with the claim of the paper that it measures (Tables 1 and 2): by settings and images, not by names.

A network answers a row where all that decides it, beside seed and rounding, is what the row's recipe says; where the
images are the paper's by their classes and counts, and it was trained on the training images of the store that it is
tested on; and where the schedule ended the fit. An ensemble answers one where its members are those of the row's
recipe, each a network of its own, by its own seed, with equal weights.
"""

import functools
from typing import NamedTuple

from omegaconf import DictConfig

from alexnet_pl.config import identity, options
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.recipes import compose, shipped
from alexnet_pl.evaluation.network_identity import are_independent
from alexnet_pl.evaluation.result import TestDescription, TestedNetwork
from alexnet_pl.paper.claim import DATA, PRETRAINING, Claim, Images
from alexnet_pl.paper.claims import CLAIMS
from alexnet_pl.runs.records import DatasetInfo, LineageStage


def recipe_lineage(cfg: DictConfig) -> list[tuple[str, Settings]]:
    """(name of images, settings) of the networks whose layers a recipe starts from, the first one first."""
    transfer = options.make_transfer(cfg)
    if not transfer.pretrain_recipe:
        return []
    before = compose(transfer.pretrain_recipe, transfer.overrides)
    return [*recipe_lineage(before), (before.data.name, identity.training_signature(before))]


class RecipeNetwork(NamedTuple):
    """A network that a recipe trains. `training`: its settings (`training_signature`); `lineage`: (name of images,
    settings) of the networks that it starts from; `images`: the name of those that it is trained on."""

    training: Settings
    lineage: list[tuple[str, Settings]]
    images: str


def matching_claim(test: TestDescription) -> str | None:
    """The key of the row that a test answers, or None."""
    for claim in CLAIMS:
        if claim.recipe and claim.data and matches_claim(claim, test):
            return claim.key
    return None


def matches_claim(claim: Claim, test: TestDescription) -> bool:
    if not claim.data or claim.views != test.views or not is_official_dataset(test.dataset, DATA[claim.data]):
        return False
    ways = [(claim.recipe, claim.overrides), *claim.also]
    return any(matches_networks(networks(name, overrides), test) for name, overrides in ways if name and shipped(name))


def is_official_dataset(dataset: DatasetInfo, wanted: Images) -> bool:
    """Whether images are the paper's own, by everything that is known of those."""
    count = dataset.images == wanted.images if wanted.exact else dataset.images >= wanted.images
    same = (dataset.name, dataset.split, dataset.classes) == (wanted.name, wanted.split, wanted.classes)
    listed = wanted.class_list in (None, dataset.class_list)
    train = dataset.train_images
    return same and count and listed and (train == wanted.train if wanted.exact else train >= wanted.train)


def matches_networks(wanted: list[RecipeNetwork], test: TestDescription) -> bool:
    """Whether the tested networks are those of a recipe, one for one."""
    unmatched = list(wanted)
    for network in test.networks:
        match = next((one for one in unmatched if is_trained_as(network, one, test.dataset.fingerprint)), None)
        if match is None:
            return False
        unmatched.remove(match)
    return not unmatched and test.weights_tuned_on is None and are_independent(test.networks)


def is_trained_as(network: TestedNetwork, wanted: RecipeNetwork, fingerprint: str) -> bool:
    """Whether a tested network was trained as `wanted`, on the store of that fingerprint."""
    return (
        network.imported is None
        and network.training == wanted.training
        and network.trained.ended_by == "schedule"
        and network.trained.store.fingerprint == fingerprint
        and len(network.lineage) == len(wanted.lineage)
        and all(is_stage(stage, *recipe) for stage, recipe in zip(network.lineage, wanted.lineage, strict=True))
    )


def is_stage(stage: LineageStage, name: str, training: Settings) -> bool:
    """Whether an earlier run was pre-training by a recipe: by its settings, to its end, on enough images."""
    classes, images = PRETRAINING.get(name, (0, 0))
    complete = stage.ended_by == "schedule" and not stage.changed
    enough = stage.store.classes >= classes and stage.store.images >= images
    return complete and enough and stage.store.name == name and stage.training == training


@functools.lru_cache(maxsize=64)
def default_views(name: str) -> str:
    """Name of the views that a recipe tests with."""
    return options.make_test(compose(name)).view_set


@functools.lru_cache(maxsize=64)
def networks(name: str, overrides: tuple[str, ...] = ()) -> list[RecipeNetwork]:
    """The networks that a recipe trains: one, or an ensemble's members."""
    cfg = compose(name, overrides)
    groups = options.make_ensemble(cfg).groups.values()
    if not groups:
        return [RecipeNetwork(identity.training_signature(cfg), recipe_lineage(cfg), cfg.data.name)]
    return [one for group in groups for one in networks(group.recipe, tuple(group.overrides)) * len(group.seeds)]
