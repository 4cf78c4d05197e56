"""Proxy data sets: whether the paper's comparisons (Tables 1 and 2, §4, §5) have the same sign on other images.

These results never enter a column of the paper's own data sets. Groups of tests are compared only if they have the same
images and the same training settings except for the difference in question. Networks without a row on the paper's own
images are compared in the same way, with networks that have one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from alexnet_pl.console import pluralize
from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Difference, Estimate, Sample
from alexnet_pl.evaluation.seed_spread import Spread, pooled_mean_ci
from alexnet_pl.paper import matching
from alexnet_pl.paper.claim import DATASETS, Claim
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.paper.comparing import (
    Spreads,
    adjust_p_values,
    collect_sample,
    compare_errors,
    compared_metrics,
    find_spread,
    has_trained,
    measure_spreads,
)
from alexnet_pl.paper.distinguishing import distinguish_groups, name_group
from alexnet_pl.paper.results import TestRun
from alexnet_pl.paper.variant_labels import (
    DEMOS,
    error_claims,
    label_variant,
    listed_labels,
    rate_label,
    sort_position,
    usual_rates,
)
from alexnet_pl.paper.variants import Variant, claimed_variant

VERDICTS = {True: "as in the paper", False: "opposite"}


@dataclass(frozen=True)
class Comparison:
    """A claim's networks against those of `baseline`. `label`, `baseline_label`: names of the two variants, the first
    with its learning rate if the two differ. `paper`, `ours`: metric → how much worse the claim's are, in percentage
    points; nan if the paper gives no number. `trained`: whether both reached at most half the chance error. `p`: p
    value of equal top-1 errors, adjusted for the number of comparisons (Holm)."""

    claim: Claim
    baseline: Claim
    label: str
    baseline_label: str
    paper: dict[str, float]
    ours: dict[str, Difference]
    trained: bool
    p: float = math.nan

    @property
    def full_label(self) -> str:
        """Names of both variants."""
        return f"{self.label} against {self.baseline_label}"

    @property
    def verdict(self) -> str:
        """Whether top-1 errors are ordered as in the paper, in words for the tables."""
        if not self.trained:
            return "did not train"
        paper, measured = self.paper["top1_error"], self.ours["top1_error"]
        suffix = f"{' in top-1' * self.has_mixed_signs}{', by one run' * (measured.runs == 1)}"
        if not intervals.is_significant(self.p):
            return f"inconclusive{suffix}"
        return VERDICTS[(measured.mean > 0) == (not paper < 0)] + suffix

    @property
    def has_mixed_signs(self) -> bool:
        """Whether one of the paper's two error rates rises and the other falls."""
        return min(self.paper.values()) < 0 < max(self.paper.values())


@dataclass(frozen=True)
class VariantErrors:
    """Mean errors of one variant: metric → estimate, in percent."""

    label: str
    values: dict[str, Estimate]


@dataclass(frozen=True)
class ProxyResults:
    """Results on one data set of networks with the same training settings. `dataset`: its name; `distinction`: what
    distinguishes them from other results on it (`distinguish_groups`); `conditions`: images, crop and epochs.
    `spreads`: spread between seeds of single networks, if it is known. `is_official`: whether the images are the
    paper's."""

    dataset: str
    distinction: str
    conditions: str
    errors: list[VariantErrors]
    comparisons: list[Comparison]
    spreads: Spreads = field(default_factory=dict)
    is_official: bool = False

    @property
    def name(self) -> str:
        return name_group(self.dataset, self.distinction)

    @property
    def kind(self) -> str:
        if self.is_official:
            return "The paper's images"
        return "Drawn images" if self.dataset in DEMOS else "Proxy data set"

    @property
    def title(self) -> str:
        """Title of the table of errors."""
        if self.is_official:
            return f"Networks and tests without a row of the paper, on its images: {self.name}"
        return f"{self.kind}, no row of the paper: {self.name}"

    @property
    def description(self) -> str:
        return f"{self.name}: {self.conditions}"


def group_proxies(tests: Sequence[TestRun]) -> list[ProxyResults]:
    """Proxy results of each combination of images and training settings, by data set, then by number of tests; not of
    those whose tests all match a claim."""
    groups: dict[str, list[TestRun]] = {}
    for test in tests:
        if test.is_complete:
            groups.setdefault(test.comparison_group, []).append(test)
    parts = [part for frame in sorted(groups) for part in separate_rates(groups[frame]) if not all_claimed(part)]
    parts.sort(key=lambda tests: (tests[0].result.dataset.name, -len(tests)))
    return [compare_variants(*each) for each in zip(parts, distinguish_groups(parts), strict=True)]


def all_claimed(tests: Sequence[TestRun]) -> bool:
    return all(test.claim for test in tests)


def separate_rates(tests: list[TestRun]) -> list[list[TestRun]]:
    """Split tests into groups to compare. Each variant may have its own, tuned learning rate; if a variant was trained
    with several, only tests with equal rates are compared."""
    rates: dict[Variant, set[tuple[float | None, ...]]] = {}
    by_rate: dict[tuple[float | None, ...], list[TestRun]] = {}
    for test in tests:
        rates.setdefault(test.variant, set()).add(test.learning_rates)
        by_rate.setdefault(test.learning_rates, []).append(test)
    return [tests] if all(len(found) == 1 for found in rates.values()) else list(by_rate.values())


def compare_variants(tests: list[TestRun], distinction: str) -> ProxyResults:
    """Errors of each variant in a comparison group, and the paper's comparisons between variants."""
    by_variant: dict[Variant, list[TestRun]] = {}
    for test in tests:
        by_variant.setdefault(test.variant, []).append(test)
    spreads, dataset = measure_spreads(by_variant.values()), tests[0].result.dataset
    return ProxyResults(
        dataset.name,
        distinction,
        describe_conditions(tests[0]),
        list_errors(by_variant, spreads, usual_rates(tests)),
        list_comparisons(by_variant, spreads),
        spreads,
        any(matching.is_official_dataset(dataset, criteria) for criteria in DATASETS.values()),
    )


def list_errors(
    by_variant: dict[Variant, list[TestRun]], spreads: Spreads, usual: tuple[float | None, ...]
) -> list[VariantErrors]:
    """Mean errors of each variant, the paper's first and in its order. `usual`: learning rates that no label names."""
    order = list(listed_labels())
    return [
        VariantErrors(label_variant(group[0]) + rate_label(group, usual), mean_errors(group, spreads))
        for _, group in sorted(by_variant.items(), key=lambda item: sort_position(item[0], order))
    ]


def list_comparisons(by_variant: dict[Variant, list[TestRun]], spreads: Spreads) -> list[Comparison]:
    """The paper's comparisons of which both variants were tested."""
    pairs = [(claim, BY_KEY[key]) for claim in error_claims() for key in claim.baselines]
    comparisons = [compare_with_baseline(*pair, by_variant, spreads) for pair in pairs]
    return adjust_p_values([comparison for comparison in comparisons if comparison])


def mean_errors(tests: list[TestRun], spreads: Spreads) -> dict[str, Estimate]:
    """Metric → mean, with an interval by the spread between seeds if it is known."""
    samples = {metric: collect_sample(tests, metric) for metric in compared_metrics(tests)}
    return {
        metric: estimate_mean(sample, find_spread(spreads, tests, metric))
        for metric, sample in samples.items()
        if sample
    }


def estimate_mean(sample: Sample, spread: Spread | None) -> Estimate:
    return pooled_mean_ci(sample.values, spread) if spread else intervals.mean_ci(sample)


def compare_with_baseline(
    claim: Claim, baseline: Claim, by_variant: dict[Variant, list[TestRun]], spreads: Spreads
) -> Comparison | None:
    """Compare a claim's variant with that of `baseline`; None unless both were tested. If all tests match claims, the
    paper's rows have the comparison."""
    claim_tests, baseline_tests = (
        by_variant.get(variant, []) if (variant := claimed_variant(side)) else [] for side in (claim, baseline)
    )
    if not claim_tests or not baseline_tests or all_claimed([*claim_tests, *baseline_tests]):
        return None
    shared = [metric for metric in compared_metrics(claim_tests) if metric in claim.values]
    differences = {metric: compare_errors(claim_tests, baseline_tests, metric, spreads) for metric in shared}
    measured = {metric: difference for metric, difference in differences.items() if difference}
    values = {metric: claim.values[metric] - (0 if claim.relative else baseline.values[metric]) for metric in measured}
    label = label_variant(claim_tests[0]) + rate_label(claim_tests, baseline_tests[0].learning_rates)
    trained = has_trained(claim_tests) and has_trained(baseline_tests)
    return Comparison(claim, baseline, label, label_variant(baseline_tests[0]), values, measured, trained)


def describe_conditions(test: TestRun) -> str:
    """Images, store, crop and epochs of a test, in words for the note below a table."""
    dataset, trained_on = test.result.dataset, test.store_of_fit
    settings = [network.training or {} for network in test.networks]
    limits = [training["trainer"]["max_epochs"] for training in settings]
    length = "any number of epochs" if None in limits else f"at most {pluralize(max(limits), 'epoch')}"
    if batches := settings[0].get("trainer", {}).get("limit_train_batches"):
        length += f" of {batches} {'of their ' if isinstance(batches, float) else ''}batches"
    width = settings[0].get("model", {}).get("width", 1)
    networks = "" if width == 1 else f"{width:g} times the paper's width, "
    since = settings[0].get("data", {}).get("include_val_after_epoch")
    val = f", and after {pluralize(since, 'epoch')} on the validation images too" if since else ""
    tested_store = "" if test.on_store_of_fit else f" (store {dataset.fingerprint[:12]})"
    return (
        f"{dataset.images:,} {dataset.split} images of {dataset.classes} classes{tested_store}, trained on "
        f"{trained_on.train_images:,}{val} (store {trained_on.fingerprint[:12]}), {networks}"
        f"crops of {settings[0]['augment']['crop']} pixels, {length}"
    )


def labels_by_verdict(results: ProxyResults) -> dict[str, list[str]]:
    """Verdict → labels of the comparisons with that verdict."""
    labels: dict[str, list[str]] = {}
    for comparison in results.comparisons:
        name = comparison.full_label if len(comparison.claim.baselines) > 1 else comparison.label
        labels.setdefault(comparison.verdict, []).append(name)
    return labels
