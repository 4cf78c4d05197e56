"""Why a test matches no row of the paper, in words: its images, views or networks differ. matching.py has the rule."""

from collections.abc import Iterable, Iterator, Sequence

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.overrides import format_override
from alexnet_pl.config.views import describe_views
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.box_result import BoxResult
from alexnet_pl.evaluation.result import TestedNetwork, TestResult, are_independent
from alexnet_pl.paper.claim import DATASETS, Claim, DatasetCriteria
from alexnet_pl.paper.claims import CLAIMS
from alexnet_pl.paper.deviations import flatten
from alexnet_pl.paper.matching import (
    RecipeNetwork,
    is_official_dataset,
    is_trained_as,
    is_trained_longer,
    is_whole,
    recipe_networks,
)
from alexnet_pl.paper.results import TestRun
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import LAST
from alexnet_pl.runs.records import DatasetInfo

SHOWN = 4  # differences that a reason names; the others are counted
ABSENT = object()  # in place of the value of a setting that is not given


def explain_mismatch(test: TestRun) -> str:
    """Reason why a test matches no claim."""
    first = [*describe_dataset(test.result), *describe_incomplete(test)]
    whole = "; ".join(first) or differing_views(test.result) or describe_networks(test.result)
    return whole if test.is_complete else f"{whole} (in none of the tables)"


def describe_incomplete(test: TestRun) -> Iterator[str]:
    """Reason why a test is not complete (`TestRun.is_complete`)."""
    tested, images = test.result.images, test.result.dataset.images
    if tested != images:
        yield f"tested on {tested:,} of {images:,} images"
    if any(network.imported for network in test.networks):
        yield "weights of another program"
    elif not all(network.training for network in test.networks):
        yield describe_fit(test)


def describe_fit(test: TestRun) -> str:
    """Reason why a test is not that of a finished fit."""
    if test.result.members:
        return "the fit of a member is not finished, or was resumed with other settings"
    try:
        fit = read_fit_status(test.run)
    except UserError:
        fit = None
    if fit and not fit.finished:
        return "the fit is not finished"
    if fit and fit.changed:
        return f"the fit was resumed with other settings ({', '.join(fit.changed_settings)})"
    return f"the tested checkpoint is not {LAST} of a finished fit"


def describe_dataset(result: TestResult) -> Iterator[str]:
    """Reason why the tested images are not the paper's."""
    dataset = result.dataset
    same_name = [criteria for criteria in DATASETS.values() if criteria.name == dataset.name]
    if not same_name:
        names = dict.fromkeys(criteria.name for criteria in DATASETS.values())
        yield f"data set {dataset.name}; the paper's rows are on {join(names, 'and')}"
    elif not (same_split := [criteria for criteria in same_name if criteria.split == dataset.split]):
        splits = (criteria.split for criteria in same_name if criteria.labeled)
        yield f"split {dataset.split} of {dataset.name}; the paper's rows are on {join(splits, 'or')}"
    elif not is_official_dataset(dataset, same_split[0]):
        yield f"not the images of {dataset.name} in the paper: {describe_counts(result, same_split[0])}"


def describe_counts(result: TestResult, criteria: DatasetCriteria) -> str:
    """Numbers in which a data set differs from the paper's, or that its classes do."""
    dataset = result.dataset
    images = {
        f"{dataset.split} images": (dataset.images, criteria.images),
        "training images": (dataset.train_images, criteria.train),
    }
    differing = [f"{dataset.classes:,} classes, not {criteria.classes:,}"] * (dataset.classes != criteria.classes)
    for name, (ours, paper) in images.items():
        if ours != paper and (criteria.exact or ours < paper):
            differing.append(f"{ours:,} {name}, not {'' if criteria.exact else 'at least '}{paper:,}")
    return "; ".join(differing) or "other classes"


def differing_views(result: TestResult) -> str:
    """Reason why no claim on the tested images has their views; "" if one has."""
    views = dict.fromkeys(views for claim in claims_on(result) for views in claim.all_views)
    if result.views in views:
        return ""
    return f"{describe_views(result.views)}; rows on these images have {join(views, 'or')} views"


def claims_on(result: TestResult) -> list[Claim]:
    """Claims about the tested images that a recipe can measure."""
    return [
        claim
        for claim in CLAIMS
        if claim.recipe and claim.data and is_official_dataset(result.dataset, DATASETS[claim.data])
    ]


def describe_networks(result: TestResult) -> str:
    """Reason why the networks are not those of a claim with the same images and views."""
    claims = [claim for claim in claims_on(result) if result.views in claim.all_views]
    rows = [(claim, recipe_networks(*recipe)) for claim in claims for recipe in claim.recipes]
    rows = [(claim, networks) for claim, networks in rows if len(networks) == len(result.networks)]
    if not rows:
        return f"an average of {len(result.networks)} networks; no row has that number"
    if result.weights_tuned_on is not None:
        return f"weights of the average tuned on the {result.weights_tuned_on} images; the paper's are equal"
    if not are_independent(result.networks):
        return "two of the networks have the same weights, or the same settings and seed"
    found = [(claim, differences_from(result, networks)) for claim, networks in rows]
    claim, differences = min(found, key=lambda one: len(one[1]))
    return f"compared with “{claim.label}” ({claim.place}): {shorten(differences)}"


def differences_from(result: TestResult, expected: Sequence[RecipeNetwork]) -> list[str]:
    """What differs between the tested networks and a recipe's: for each network, from the most similar one."""
    differing: dict[str, None] = {}
    for network in result.networks:
        each = [list(network_differences(network, other, result.dataset)) for other in expected]
        differing.update(dict.fromkeys(min(each, key=len)))
    return list(differing) or ["other numbers of each network"]


def network_differences(network: TestedNetwork, expected: RecipeNetwork, dataset: DatasetInfo) -> Iterator[str]:
    """What differs between a tested network and a recipe's; nothing if `is_trained_as`."""
    if is_trained_as(network, expected, dataset):
        return
    differing = list(describe_settings(network.training or {}, expected.training))
    yield from differing
    if network.trained.ended_by != "schedule":
        yield f"fit ended by {network.trained.ended_by or 'an unknown limit'}, not by its schedule"
    if is_trained_longer(network):
        yield describe_length(network)
    if network.trained.store.fingerprint != dataset.fingerprint:
        yield "trained on another store than the tested one"
    if other_images := is_whole(dataset.encoding) != expected.whole:
        yield describe_encoding(dataset.encoding)
    if not differing and not other_images and (network.lineage or expected.lineage):
        yield "another pre-training"


def describe_length(network: TestedNetwork | BoxResult) -> str:
    """Difference between a network that `is_trained_longer` and its settings."""
    assert network.training
    limit = network.training["trainer"]["max_epochs"]
    return f"trained for {network.trained.epochs} epochs, not trainer.max_epochs={limit}"


def describe_encoding(encoding: str) -> str:
    """How the images of a store differ from a row's, by the encoding in the record of the test."""
    if not encoding:
        return "the record is older and does not say whether the images were whole; test again"
    return "trained on whole images, not squares" if is_whole(encoding) else "trained on squares, not whole images"


def describe_settings(ours: Settings, paper: Settings) -> Iterator[str]:
    """Settings that differ from a row's, by key."""
    settings, wanted = flatten(ours), flatten(paper)
    for key in sorted({*settings, *wanted}):
        pair = settings.get(key, ABSENT), wanted.get(key, ABSENT)
        if pair[0] != pair[1]:
            yield describe_setting(key, *pair)


def describe_setting(key: str, ours: object, paper: object) -> str:
    """A setting that differs from a row's; `ABSENT` for one that is not given."""
    if ours is ABSENT:
        return f"without {format_override(key, paper)}"
    if paper is ABSENT:
        return f"{format_override(key, ours)}, which the row does not set"
    return f"{format_override(key, ours)}, not {format_override('', paper)[1:]}"


def shorten(differences: Sequence[str]) -> str:
    """The first `SHOWN` differences, and the number of the others."""
    more = len(differences) - SHOWN
    return "; ".join([*differences[:SHOWN], *([f"{more} more"] if more > 0 else [])])


def join(words: Iterable[str], last: str) -> str:
    """a, b `last` c."""
    *head, tail = dict.fromkeys(words)
    return f"{', '.join(head)} {last} {tail}" if head else tail
