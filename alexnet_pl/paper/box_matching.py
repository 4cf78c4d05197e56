"""Match a test of boxes with the paper's claim that it measures (OverFeat §4.4), by settings and images.

A localiser matches if it was tested as the claim says on the official validation images, if it was trained to its end
with the settings of configs/overfeat_localise.yaml and the claim's on boxes of the official training images, and if its
features are those of one finished run of configs/overfeat_accurate.yaml. Whatever differs is named.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from omegaconf import OmegaConf

from alexnet_pl.config.identity import Settings, box_signature, training_signature
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.store.encoding import WHOLE
from alexnet_pl.evaluation.box_result import BoxResult, LocalisationResult
from alexnet_pl.paper.box_claims import BOX_CLAIMS, UNDERSPECIFIED, BoxClaim
from alexnet_pl.paper.claim import DATASETS
from alexnet_pl.paper.matching import is_trained_longer, matches_stage
from alexnet_pl.paper.mismatch import describe_length, describe_settings, shorten
from alexnet_pl.runs.records import DatasetInfo

VALIDATION = DATASETS["ILSVRC-2012 val"]  # all of them: development kits since 2013 exclude 1,762
MIN_BOXED_IMAGES = 500_000  # the published boxes are of 544,546 training images; 523,966 after Russakovsky et al. 2015
FEATURES = "overfeat_accurate"
IMAGE_SIZE = 256  # pixels of the shorter side (§3.1)
NOT_SEARCH = ("show", "confidence", "blacklist", "rule")  # keys of `detect` that do not change a localisation error


def matches_box_claim(claim: BoxClaim, test: BoxResult) -> bool:
    """Whether a test has a claim's settings, images and network."""
    return (
        not claim.reason_unmeasured
        and isinstance(test, LocalisationResult)
        and not any(True for _ in box_differences(claim, test))
    )


def explain_box_mismatch(test: BoxResult, others: Sequence[BoxResult] = ()) -> str:
    """Reason why a test gives no value for a claim, in words; "" if it does. `others`: tests to compare it with."""
    matching = [claim for claim in BOX_CLAIMS if matches_box_claim(claim, test)]
    if matching:
        return "" if any(has_baseline(claim, test, others) for claim in matching) else explain_alone(matching[0])
    if not isinstance(test, LocalisationResult):
        return f"detection on {test.dataset.name}; the paper's rows are {UNDERSPECIFIED}"
    if images := list(image_differences(test)):
        return "; ".join(images)
    claims = [claim for claim in BOX_CLAIMS if not claim.reason_unmeasured]
    found = [(claim, list(box_differences(claim, test))) for claim in claims]
    claim, differences = min(found, key=lambda one: len(one[1]))
    return f"compared with “{claim.label}” ({claim.section}): {shorten(differences)}"


def has_baseline(claim: BoxClaim, test: BoxResult, others: Sequence[BoxResult]) -> bool:
    """Whether a test has a value for a claim that it matches: a difference needs a test of the baseline."""
    if claim.baseline is None:
        return True
    return any(other.seed == test.seed and matches_box_claim(claim.baseline, other) for other in others)


def explain_alone(claim: BoxClaim) -> str:
    assert claim.baseline
    return f"a run of “{claim.label}” ({claim.section}), but none of “{claim.baseline.label}” with its seed"


def box_differences(claim: BoxClaim, test: BoxResult) -> Iterator[str]:
    """What differs between a localiser's test and a claim; nothing if it measures the claim."""
    training, search = claim_settings(tuple(claim.overrides))
    yield from image_differences(test)
    yield from fit_differences(test)
    yield from describe_settings(test.training or {}, training)
    yield from describe_settings({"detect": searched(asdict(test.detect), asdict(test.boxes))}, {"detect": search})
    yield from feature_differences(test)


@functools.lru_cache(maxsize=16)
def claim_settings(overrides: tuple[str, ...]) -> tuple[Settings, Settings]:
    """(training settings, settings of the search) of configs/overfeat_localise.yaml with a claim's overrides."""
    cfg = compose("overfeat_localise", overrides)
    boxes, detect = (OmegaConf.to_container(section, resolve=True) for section in (cfg.boxes, cfg.detect))
    return box_signature(cfg), searched(detect, boxes)  # type: ignore[arg-type]


def searched(detect: Settings, boxes: Settings) -> Settings:
    """Keys of `detect` that decide the localisation error. `boxes`: settings of training, which provide defaults."""
    defaults = {name: boxes[name] for name in ("scales", "zoom") if detect[name] is None}
    return {key: defaults.get(key, value) for key, value in detect.items() if key not in NOT_SEARCH}


def image_differences(test: BoxResult) -> Iterator[str]:
    """Reason why the images of a test are not the paper's."""
    dataset, tested, boxed = test.dataset, test.images, test.train_images_with_boxes
    official = VALIDATION.class_list, VALIDATION.split, VALIDATION.images
    if (dataset.class_list, dataset.split, dataset.images) != official:
        rows = f"the paper's rows are on the {VALIDATION.images:,} ILSVRC-2012 validation images"
        yield f"data set {dataset.name}; {rows}"
    elif dataset.size != IMAGE_SIZE:
        yield f"images stored with a shorter side of {dataset.size or 'unknown'} pixels, not {IMAGE_SIZE}"
    elif tested != VALIDATION.images:
        yield f"tested on {tested:,} of {VALIDATION.images:,} images: the others have no box of their class"
    elif dataset.train_images != VALIDATION.train:
        yield f"{dataset.train_images:,} training images, not {VALIDATION.train:,}"
    elif boxed < MIN_BOXED_IMAGES:
        yield f"{boxed:,} training images with boxes, not at least {MIN_BOXED_IMAGES:,}"


def fit_differences(test: BoxResult) -> Iterator[str]:
    """Reason why a tested regressor is not that of a finished fit on the store of the test."""
    trained = test.trained
    if not test.finished or not test.training:
        yield "the fit is not finished, or was resumed with other settings"
    elif trained.ended_by != "max_epochs":
        yield f"fit ended by {trained.ended_by or 'an unknown limit'}, not by trainer.max_epochs"
    elif is_trained_longer(test):
        yield describe_length(test)
    elif trained.store.fingerprint != test.dataset.fingerprint:
        yield "trained on another store than the tested one"


def feature_differences(test: BoxResult) -> Iterator[str]:
    """What differs between the run with the features and one of configs/overfeat_accurate.yaml."""
    lineage, expected = test.lineage, features_signature()
    if len(lineage) == 1 and matches_stage(lineage[0], "ilsvrc2012", expected):
        yield from encoding_differences(lineage[0].store, test.dataset)
        return
    if len(lineage) != 1:
        yield f"features of {len(lineage)} runs in a row, not of one of {FEATURES}" if lineage else "features of no run"
    elif not lineage[0].training:
        yield f"features of an unfinished or imported network, not of {FEATURES}"
    elif differing := list(describe_settings(lineage[0].training, expected)):
        yield from (f"features with {difference}" for difference in differing)
    else:
        yield f"features of a fit of {FEATURES} that ended otherwise, or on other images"


def encoding_differences(trained: DatasetInfo, tested: DatasetInfo) -> Iterator[str]:
    """Reason why a network was not trained on whole images. An older record does not say it, but that of the same store
    may."""
    same_store = trained.fingerprint == tested.fingerprint
    encoding = trained.encoding or (tested.encoding if same_store else "")
    if not encoding:
        yield "features of an older record, which does not say whether the images were whole"
    elif encoding != WHOLE:
        yield "features of a network that was not trained on whole images"


@functools.lru_cache(maxsize=1)
def features_signature() -> Settings:
    return training_signature(compose(FEATURES))
