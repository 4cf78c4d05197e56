"""The paper's comparisons on a proxy dataset (Tables 1 and 2, §4, §5): whether its orderings appear there too.

Nothing here ever enters a column of the paper's own data sets. Compared are tests of the same images by networks that
were trained alike but for what the comparison is about.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.paper.claim import ERRORS, Claim
from alexnet_pl.paper.claims import BY_KEY, CLAIMS
from alexnet_pl.paper.comparing import difference, sample
from alexnet_pl.paper.results import Kind, TestRun, kind_of

SHOWED = {True: "as in the paper", False: "the other way round"}


@dataclass(frozen=True)
class Comparison:
    """`paper`, `ours`: how much worse `claim`'s networks are than those it is against, by metric, in points; nan where
    the paper says only that they are worse. `learned`: whether both kinds of network had, at least half of the way from
    guessing to no error. `p`: of no difference in top-1 error, adjusted for the number of comparisons (Holm)."""

    claim: Claim
    paper: dict[str, float]
    ours: dict[str, Difference]
    learned: bool
    p: float = math.nan

    @property
    def showed(self) -> str:
        """Verdict on the paper's order of the two by top-1 error."""
        if not self.learned:
            return "hardly learned"
        wanted, found = self.paper["top1_error"], self.ours["top1_error"]
        alone = ", by one run" if found.runs == 1 else ""
        if self.is_open:
            return f"not told apart{alone}"
        return SHOWED[(found.mean > 0) == (not wanted < 0)] + alone

    @property
    def is_open(self) -> bool:
        """Whether there may be no difference: by p, adjusted for the number of comparisons, else by the interval."""
        found = self.ours["top1_error"]
        return found.low <= 0 <= found.high if math.isnan(self.p) else self.p >= 1 - intervals.LEVEL


@dataclass(frozen=True)
class Errors:
    """Mean errors of one kind of test."""

    label: str
    values: dict[str, Estimate]


@dataclass(frozen=True)
class ProxyResults:
    """Results on one set of images by networks with the same training settings."""

    about: str
    errors: list[Errors]
    comparisons: list[Comparison]


def make_proxies(tests: Sequence[TestRun]) -> list[ProxyResults]:
    """One for each set of images and course of training, in the order of their names."""
    frames: dict[str, list[TestRun]] = {}
    for test in tests:
        if test.whole and not test.claim:
            frames.setdefault(test.frame, []).append(test)
    return [make_proxy(frames[frame]) for frame in sorted(frames)]


def make_proxy(tests: list[TestRun]) -> ProxyResults:
    kinds: dict[Kind, list[TestRun]] = {}
    for test in tests:
        kinds.setdefault(test.kind, []).append(test)
    named = {kind: label for claim in reversed(candidates()) if (kind := kind_of(claim)) and (label := claim.label)}
    errors = [
        Errors(named.get(kind, other_kind(kinds[kind][0])), mean_errors(kinds[kind]))
        for kind in sorted(kinds, key=lambda kind: place_of(kind, list(named)))
    ]
    compared = [found for claim in candidates() if claim.against and (found := compare(claim, kinds))]
    return ProxyResults(describe_variant(tests[0]), errors, adjust(compared))


def adjust(compared: list[Comparison]) -> list[Comparison]:
    """With p values adjusted for the number of comparisons that are made on the same images (Holm)."""
    adjusted = intervals.holm([one.ours["top1_error"].p for one in compared])
    return [replace(one, p=p) for one, p in zip(compared, adjusted, strict=True)]


def candidates() -> list[Claim]:
    """Rows that are an error rate of networks of ours on images with labels, in the paper's order."""
    unlike = ("fall2009.cnn", "table2.5cnns.test", "table2.7cnns*.test")
    return [claim for claim in CLAIMS if "top1_error" in claim.values and claim.recipe and claim.key not in unlike]


def place_of(kind: Kind, order: list[Kind]) -> int:
    return -order.index(kind) if kind in order else 1


def other_kind(test: TestRun) -> str:
    count = len(test.networks)
    weights = f", weights tuned on the {tuned} images" if (tuned := test.result.weights_tuned_on) else ""
    return f"{count} networks{weights} ({test.run.name})" if count > 1 else f"other settings ({test.run.name})"


def mean_errors(tests: list[TestRun]) -> dict[str, Estimate]:
    found = {metric: sample(tests, metric) for metric in ERRORS}
    return {metric: intervals.mean_ci(one) for metric, one in found.items() if one}


def compare(claim: Claim, kinds: dict[Kind, list[TestRun]]) -> Comparison | None:
    base = BY_KEY[str(claim.against)]
    own, other = (kinds.get(kind, []) if (kind := kind_of(one)) else [] for one in (claim, base))
    ours = {}
    for metric in claim.values:
        if metric in ERRORS and (found := difference(own, other, metric)):
            ours[metric] = found
    if not ours:
        return None
    values = {metric: claim.values[metric] - (0 if claim.relative else base.values[metric]) for metric in ours}
    return Comparison(claim, values, ours, has_learned(own) and has_learned(other))


def has_learned(tests: list[TestRun]) -> bool:
    guessing = 100 * (1 - 1 / tests[0].result.dataset.classes)
    return mean_errors(tests)["top1_error"].mean < guessing / 2


def describe_variant(test: TestRun) -> str:
    dataset, settings = test.result.dataset, [network.training or {} for network in test.networks]
    epochs = max(training["trainer"]["max_epochs"] for training in settings)
    return (
        f"{dataset.name}: {dataset.images:,} {dataset.split} images of {dataset.classes} classes, trained on "
        f"{dataset.train_images:,} (store {dataset.fingerprint[:12]}), crops of {settings[0]['augment']['crop']} "
        f"pixels, at most {epochs} epochs"
    )


def verdicts(found: ProxyResults) -> dict[str, list[str]]:
    """Labels of the comparisons by what showed."""
    by_word: dict[str, list[str]] = {}
    for one in found.comparisons:
        by_word.setdefault(one.showed, []).append(one.claim.label)
    return by_word
