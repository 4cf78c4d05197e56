"""Match a test with the claim of the paper that it measures (Tables 1 and 2): by settings and images, not by names.

A network answers a row where all that decides it, beside seed and rounding, is what the row's recipe says; where the
images are the paper's by their classes and counts, and it was trained on the training images of the store that it is
tested on; and where the schedule ended the fit. An ensemble answers one where its members are those of the row's
recipe, each a network of its own, by its own seed, with equal weights.
"""

import functools
from typing import Any, NamedTuple

from omegaconf import DictConfig

from alexnet_pl.config import identity, options
from alexnet_pl.config.recipes import compose, shipped
from alexnet_pl.evaluation.network_identity import are_independent
from alexnet_pl.paper.claim import DATA, PRETRAINING, Claim, Images
from alexnet_pl.paper.claims import CLAIMS


def lineage(cfg: DictConfig) -> list[tuple[str, dict[str, Any]]]:
    """The recipes whose layers a recipe starts from, the first one first."""
    transfer = options.make_transfer(cfg)
    if not transfer.pretrain_recipe:
        return []
    before = compose(transfer.pretrain_recipe, transfer.overrides)
    return [*lineage(before), (before.data.name, identity.training_signature(before))]


class Network(NamedTuple):
    """`training` as of recipe.training; `lineage`: (name of images, training) of the networks it started from;
    `images`: the name of those that it is trained on."""

    training: dict[str, Any]
    lineage: list[tuple[str, dict[str, Any]]]
    images: str


def matching_claim(facts: dict[str, Any]) -> str | None:
    """The key of the row that a test answers, given what its result.json says beside the errors, or None."""
    for claim in CLAIMS:
        if claim.recipe and claim.data and matches_claim(claim, facts):
            return claim.key
    return None


def matches_claim(claim: Claim, facts: dict[str, Any]) -> bool:
    if not claim.data or claim.views != facts["views"] or not is_official_dataset(facts["dataset"], DATA[claim.data]):
        return False
    ways = [(claim.recipe, claim.overrides), *claim.also]
    return any(matches(networks(name, overrides), facts) for name, overrides in ways if name and shipped(name))


def is_official_dataset(dataset: dict[str, Any], wanted: Images) -> bool:
    """Whether images are the paper's own, by everything that is known of those."""
    count = dataset["images"] == wanted.images if wanted.exact else dataset["images"] >= wanted.images
    same = (dataset["name"], dataset["split"], dataset.get("classes")) == (wanted.name, wanted.split, wanted.classes)
    listed = wanted.class_list in (None, dataset.get("class_list"))
    train = dataset.get("train_images", 0)
    return same and count and listed and (train == wanted.train if wanted.exact else train >= wanted.train)


def matches(wanted: list[Network], facts: dict[str, Any]) -> bool:
    images = facts["dataset"]["fingerprint"]
    if "members" not in facts:
        return len(wanted) == 1 and is_network(facts, wanted[0], images)
    members, left = facts["members"], list(wanted)
    for member in members:
        found = next((network for network in left if is_network(member, network, images)), None)
        if found is None:
            return False
        left.remove(found)
    return not left and facts.get("weights_tuned_on") is None and are_independent(members)


def is_network(facts: dict[str, Any], wanted: Network, images: str) -> bool:
    """Whether a tested network, or a member of an ensemble, was trained as `wanted`, on the store `images`."""
    lineage, trained = facts.get("lineage") or [], facts.get("trained") or {}
    return (
        facts.get("training") == wanted.training
        and trained.get("ended_by") == "schedule"
        and (trained.get("store") or {}).get("fingerprint") == images
        and len(lineage) == len(wanted.lineage)
        and all(came_from(stage, *there) for stage, there in zip(lineage, wanted.lineage, strict=True))
    )


def came_from(stage: dict[str, Any], name: str, training: dict[str, Any]) -> bool:
    classes, images = PRETRAINING.get(name, (0, 0))
    store, whole = stage["store"], stage.get("ended_by") == "schedule" and not stage["changed"]
    enough = store.get("classes", 0) >= classes and store.get("images", 0) >= images
    return whole and enough and store.get("name") == name and stage["training"] == training


@functools.lru_cache(maxsize=64)
def default_views(name: str) -> str:
    """Name of the views that a recipe tests with."""
    return options.make_test(compose(name)).view_set


@functools.lru_cache(maxsize=64)
def networks(name: str, overrides: tuple[str, ...] = ()) -> list[Network]:
    """The networks that a recipe trains: one, or an ensemble's members."""
    cfg = compose(name, overrides)
    groups = options.make_ensemble(cfg).groups.values()
    if not groups:
        return [Network(identity.training_signature(cfg), lineage(cfg), cfg.data.name)]
    return [one for group in groups for one in networks(group.recipe, tuple(group.overrides)) * len(group.seeds)]
