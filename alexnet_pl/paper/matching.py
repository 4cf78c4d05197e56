"""Match a test with the paper's claim that it measures (Tables 1 and 2), by settings and images instead of names.

A network matches a row if its training settings, except seed and precision, are those of the row's recipe, the classes
and image counts are the paper's, the images are whole or squares as the recipe's, it was trained on the training split
of the tested store, and the schedule ended the
fit. An ensemble matches if its members are the networks of the row's recipe, trained independently with different
seeds, and averaged with equal weights.
"""

import functools
from typing import NamedTuple

from omegaconf import DictConfig

from alexnet_pl.config import identity, options
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.store.encoding import WHOLE
from alexnet_pl.evaluation.box_result import BoxResult
from alexnet_pl.evaluation.result import TestDescription, TestedNetwork, are_independent
from alexnet_pl.paper.claim import DATASETS, MIN_PRETRAINING_SIZES, Claim, DatasetCriteria
from alexnet_pl.paper.claims import CLAIMS
from alexnet_pl.runs.records import DatasetInfo, LineageStage


def recipe_lineage(cfg: DictConfig) -> list[tuple[str, Settings]]:
    """(data set, training settings) of each network in a recipe's pre-training, oldest first."""
    transfer = options.make_transfer_options(cfg)
    if not transfer.pretrain_recipe:
        return []
    pretraining = compose(transfer.pretrain_recipe, transfer.overrides)
    return [*recipe_lineage(pretraining), (pretraining.data.name, identity.training_signature(pretraining))]


class RecipeNetwork(NamedTuple):
    """A network trained by a recipe. `training`: its settings (`training_signature`); `lineage`: (data set, settings)
    of the networks it is pre-trained with; `images`: name of its own data set; `whole`: whether its store has whole
    images."""

    training: Settings
    lineage: list[tuple[str, Settings]]
    images: str
    whole: bool


def matching_claim(test: TestDescription) -> str | None:
    """Key of the claim that a test reproduces, or None."""
    for claim in CLAIMS:
        if claim.recipe and claim.data and matches_claim(claim, test):
            return claim.key
    return None


def matches_claim(claim: Claim, test: TestDescription) -> bool:
    """Whether a test has a claim's views, images and networks."""
    if (
        not claim.data
        or test.views not in claim.all_views
        or not is_official_dataset(test.dataset, DATASETS[claim.data])
    ):
        return False
    return any(matches_networks(recipe_networks(*recipe), test) for recipe in claim.recipes)


def is_official_dataset(dataset: DatasetInfo, criteria: DatasetCriteria) -> bool:
    """Whether a data set is the paper's: same name, split, classes and image counts."""
    enough_images = dataset.images == criteria.images if criteria.exact else dataset.images >= criteria.images
    same_split = (dataset.name, dataset.split, dataset.classes) == (criteria.name, criteria.split, criteria.classes)
    same_classes = criteria.class_list in (None, dataset.class_list)
    train_images = dataset.train_images
    return (
        same_split
        and enough_images
        and same_classes
        and (train_images == criteria.train if criteria.exact else train_images >= criteria.train)
    )


def matches_networks(expected: list[RecipeNetwork], test: TestDescription) -> bool:
    """Whether the tested networks match those of a recipe one to one, independently trained and equally weighted."""
    unmatched = list(expected)
    for network in test.networks:
        match = next((other for other in unmatched if is_trained_as(network, other, test.dataset)), None)
        if match is None:
            return False
        unmatched.remove(match)
    return not unmatched and test.weights_tuned_on is None and are_independent(test.networks)


def is_trained_as(network: TestedNetwork, expected: RecipeNetwork, dataset: DatasetInfo) -> bool:
    """Whether a tested network was trained as `expected`, on the store of the tested images."""
    return (
        network.imported is None
        and network.training == expected.training
        and network.trained.ended_by == "schedule"
        and not is_trained_longer(network)
        and network.trained.store.fingerprint == dataset.fingerprint
        and is_whole(dataset.encoding) == expected.whole
        and len(network.lineage) == len(expected.lineage)
        and all(matches_stage(stage, *recipe) for stage, recipe in zip(network.lineage, expected.lineage, strict=True))
    )


def is_trained_longer(network: TestedNetwork | BoxResult) -> bool:
    """Whether a fit has more epochs than its settings say: earlier versions recorded older settings than those of a fit
    that was continued."""
    limit = (network.training or {}).get("trainer", {}).get("max_epochs")
    return limit is not None and 0 <= limit < (network.trained.epochs or 0)


def is_whole(encoding: str) -> bool:
    """Whether a store has whole images, not squares; records that do not say it are of squares."""
    return encoding == WHOLE


def matches_stage(stage: LineageStage, name: str, training: Settings) -> bool:
    """Whether an earlier run is a recipe's pre-training: same settings, finished, on enough classes and images."""
    classes, images = MIN_PRETRAINING_SIZES.get(name, (0, 0))
    complete = stage.ended_by == "schedule" and not stage.changed
    enough = stage.store.classes >= classes and stage.store.images >= images
    return complete and enough and stage.store.name == name and stage.training == training


@functools.lru_cache(maxsize=64)
def default_views(name: str) -> str:
    """Name of the views that a recipe averages in tests: `ten`, `center`, `dense_…`."""
    return options.make_test_section(compose(name)).view_set


@functools.lru_cache(maxsize=128)
def recipe_networks(name: str, overrides: tuple[str, ...] = ()) -> list[RecipeNetwork]:
    """Networks trained by a recipe: one, or the members of an ensemble."""
    cfg = compose(name, overrides)
    groups = options.make_ensemble_options(cfg).groups.values()
    if not groups:
        training, whole = identity.training_signature(cfg), is_whole(cfg.prepare.encoding)
        return [RecipeNetwork(training, recipe_lineage(cfg), cfg.data.name, whole)]
    return [
        member
        for group in groups
        for member in recipe_networks(group.recipe, tuple(group.overrides)) * len(group.seeds)
    ]
