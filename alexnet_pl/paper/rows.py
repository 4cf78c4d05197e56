"""Rows of the report: the paper's value, ours with its interval, and the command that reproduces it."""

import functools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from alexnet_pl.config.sections import SCHEDULES
from alexnet_pl.config.views import view_overrides
from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.dense import dense_logits
from alexnet_pl.evaluation.image_scales import scale_sides
from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.models.overfeat import PLANS, OverFeat
from alexnet_pl.models.summary import measure_network, measure_overfeat
from alexnet_pl.paper import comparing, matching
from alexnet_pl.paper.claim import DATASETS, IMAGES_PER_EPOCH, OVERFEAT, Claim
from alexnet_pl.paper.claims import BY_KEY, CLAIMS
from alexnet_pl.paper.results import TestRun


@dataclass(frozen=True)
class ReportRow:
    """A claim and its measured values; `measured`: metric → our value, without metrics that were not measured yet."""

    claim: Claim
    measured: dict[str, Estimate | Difference] = field(default_factory=dict)

    @property
    def is_measurable(self) -> bool:
        """Whether a run can measure the number: it has a recipe, and labels are public."""
        claim = self.claim
        return bool(claim.recipe) and (claim.data is None or DATASETS[claim.data].labeled)

    @property
    def needs_run(self) -> bool:
        """Whether only a run can measure the number; others are counted in the network."""
        return self.is_measurable and self.claim.data is not None


def make_rows(tests: Sequence[TestRun]) -> list[ReportRow]:
    """One row per claim, in the paper's order, from tests on the paper's own images."""
    by_claim: dict[str, list[TestRun]] = {}
    for test in tests:
        if test.claim:
            by_claim.setdefault(test.claim, []).append(test)
    chosen = {key: with_preferred_views(BY_KEY[key], found) for key, found in by_claim.items()}
    return [ReportRow(claim, measure_claim(claim, chosen)) for claim in CLAIMS]


def with_preferred_views(claim: Claim, tests: Sequence[TestRun]) -> Sequence[TestRun]:
    """Tests with the claim's own views if there are any, so that a mean is over one kind of views; else all."""
    return [test for test in tests if test.result.views == claim.views] or tests


def measure_claim(claim: Claim, tests: Mapping[str, Sequence[TestRun]]) -> dict[str, Estimate | Difference]:
    """Metric → mean with interval, or for a relative claim the difference or ratio to its baseline.

    `tests`: key of a claim → its tests.
    """
    if claim.recipe and not claim.data:
        counts = {metric: count_claim(claim, metric) for metric in claim.values}
        return {metric: Estimate(count, count, count, 0) for metric, count in counts.items()}
    claim_tests, baseline_tests = tests.get(source_claim(claim), []), tests.get(str(claim.baseline), [])
    if claim.relative:
        claim_tests, baseline_tests = with_one_schedule(claim_tests, baseline_tests)
    else:
        claim_tests = with_one_recipe(claim, claim_tests)
    estimates = {metric: estimate_metric(claim, metric, claim_tests, baseline_tests) for metric in claim.values}
    return {metric: value for metric, value in estimates.items() if value}


def with_one_recipe(claim: Claim, tests: Sequence[TestRun]) -> Sequence[TestRun]:
    """Tests of the first of a claim's recipes that has any, so that a mean is not over several schedules."""
    for recipe in claim.recipes:
        networks = matching.recipe_networks(*recipe)
        if found := [test for test in tests if matching.matches_networks(networks, test.result)]:
            return found
    return []


def with_one_schedule(tests_a: Sequence[TestRun], tests_b: Sequence[TestRun]) -> Sequence[Sequence[TestRun]]:
    """Tests of both sides whose fits had the same `schedule.name`, the first that is on both sides, so that the
    difference is not that between schedules. Empty if no name is on both sides."""
    for name in SCHEDULES:
        sides = [[test for test in tests if name in test.schedules] for tests in (tests_a, tests_b)]
        if all(sides):
            return sides
    return [[], []]


def count_claim(claim: Claim, metric: str) -> float:
    """Number of a claim that needs no images; for a ratio, that of its network divided by that of its baseline's."""
    count = count_in_network(claim, metric)
    return count / count_in_network(BY_KEY[str(claim.baseline)], metric) if claim.ratio else count


def count_in_network(claim: Claim, metric: str) -> float:
    """Size of the network of a claim that needs no images, such as its number of parameters."""
    if claim.paper != OVERFEAT:
        return measure_network(metric)
    net, (kind, _, scale) = str(claim.recipe).removeprefix("overfeat_"), metric.rpartition("_at_")
    return map_sides(net, int(scale))[kind == "map_width"] if kind else measure_overfeat(net, metric)


@functools.cache
def map_sides(net: str, scale: int) -> tuple[int, int]:
    """Height and width of the map of class scores of OverFeat's `fast` or `accurate` network at the fine stride."""
    with torch.device("meta"):
        made = OverFeat(net=net, crop=PLANS[net].crop)
        height, width = dense_logits(made, torch.empty(1, 3, *scale_sides(made.window, scale))).shape[-2:]
    return height, width


def estimate_metric(
    claim: Claim, metric: str, claim_tests: Sequence[TestRun], baseline_tests: Sequence[TestRun]
) -> Estimate | Difference | None:
    if claim.relative and not claim.ratio:
        return comparing.compare_errors(claim_tests, baseline_tests, metric)
    sample = comparing.collect_sample(claim_tests, metric)
    if claim.ratio:
        baseline_sample = comparing.collect_sample(baseline_tests, metric)
        return intervals.ratio_ci(sample, baseline_sample) if sample and baseline_sample else None
    if not sample:
        return None
    found = intervals.mean_ci(sample)
    return found._replace(low=max(found.low, 0.0))  # no metric is negative; nan stays nan in this order


def source_claim(claim: Claim) -> str:
    """Key of the claim whose tests provide this claim's numbers: the first with the same networks, images and views."""
    for other in CLAIMS:
        same = (other.recipe, other.overrides, other.data, other.views)
        if other.recipe and same == (claim.recipe, claim.overrides, claim.data, claim.views):
            return other.key
    return claim.key


def reproduce_command(claim: Claim) -> str:
    """Command that reproduces a row, reusing finished fits and tests. FOLDER stands for prepared stores."""
    assert claim.recipe
    is_ensemble = len(matching.recipe_networks(claim.recipe, claim.overrides)) > 1
    command = "ensemble" if is_ensemble else "reproduce"
    words = ["python", "-m", "alexnet_pl", command, "-c", claim.recipe, *claim.overrides]
    if claim.views != matching.default_views(claim.recipe):
        words += view_overrides(claim.views)
    words.append("data.root=FOLDER")
    if claim.data and not DATASETS[claim.data].labeled:
        words.append("test.split=test")
    return shlex.join([*words, *(f"transfer.data_roots.{name}=FOLDER" for name in pretraining_stores(claim))])


def pretraining_stores(claim: Claim) -> list[str]:
    """Names of the data sets on which the claim's networks are pre-trained (§7)."""
    networks = matching.recipe_networks(str(claim.recipe), claim.overrides)
    return sorted({name for network in networks for name, _ in network.lineage})


def count_training_images(claim: Claim) -> int:
    """Upper estimate of the images in a row's training, including pre-training: `max_epochs` full epochs."""
    networks = matching.recipe_networks(str(claim.recipe), claim.overrides)
    fits = [fit for network in networks for fit in (*network.lineage, (network.images, network.training))]
    return sum(IMAGES_PER_EPOCH[name] * training["trainer"]["max_epochs"] for name, training in fits)
