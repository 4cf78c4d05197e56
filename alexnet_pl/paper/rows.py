"""Rows of all tables: the paper's value, the measured one with its interval, and the command that reproduces it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from alexnet_pl.config import recipes
from alexnet_pl.config.sections import view_overrides
from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Difference, Estimate
from alexnet_pl.models.summary import measure_network, of_overfeat
from alexnet_pl.paper import comparing, matching
from alexnet_pl.paper.claim import DATA, EPOCH, OVERFEAT, Claim
from alexnet_pl.paper.claims import CLAIMS
from alexnet_pl.paper.results import TestRun


@dataclass(frozen=True)
class Row:
    """`ours`: metric → value, without those that nobody measured yet."""

    claim: Claim
    ours: dict[str, Estimate | Difference] = field(default_factory=dict)

    @property
    def made_here(self) -> bool:
        """Whether a run of ours can give the number at all."""
        claim = self.claim
        return bool(claim.recipe) and (claim.data is None or DATA[claim.data].labelled)


def make_rows(tests: Sequence[TestRun]) -> list[Row]:
    """All claims in the paper's order; only tests on the paper's own images count here."""
    by_claim: dict[str, list[TestRun]] = {}
    for test in tests:
        if test.claim:
            by_claim.setdefault(test.claim, []).append(test)
    return [Row(claim, measured_value(claim, lambda key: by_claim.get(key, []))) for claim in CLAIMS]


def measured_value(claim: Claim, tests_of: Callable[[str], Sequence[TestRun]]) -> dict[str, Estimate | Difference]:
    """Each metric's mean and interval; of a relative claim, the difference or ratio to the claim it is against."""
    if claim.recipe and not claim.data:
        counts = {metric: count_in_network(claim, metric) for metric in claim.values}
        return {metric: Estimate(count, count, count, 0) for metric, count in counts.items()}
    own, other = tests_of(run_key(claim)), tests_of(claim.against) if claim.relative and claim.against else []
    found = {metric: estimate(claim, metric, own, other) for metric in claim.values}
    return {metric: value for metric, value in found.items() if value}


def count_in_network(claim: Claim, metric: str) -> float:
    """Parameters, neurons or connections of the network that a claim without images is about."""
    return (
        of_overfeat(str(claim.recipe).removeprefix("overfeat_"), metric)
        if claim.paper == OVERFEAT
        else measure_network(metric)
    )


def estimate(
    claim: Claim, metric: str, own: Sequence[TestRun], other: Sequence[TestRun]
) -> Estimate | Difference | None:
    if claim.relative and not claim.ratio:
        return comparing.difference(own, other, metric)
    first, second = comparing.sample(own, metric), comparing.sample(other, metric)
    if claim.ratio:
        return intervals.ratio_ci(first, second) if first and second else None
    return intervals.mean_ci(first) if first else None


def run_key(claim: Claim) -> str:
    """The claim whose tests hold a claim's numbers: another of the same networks on the same images, or itself."""
    for other in CLAIMS:
        same = (other.recipe, other.overrides, other.data, other.views)
        if other.recipe and same == (claim.recipe, claim.overrides, claim.data, claim.views):
            return other.key
    return claim.key


def reproduce_command(claim: Claim) -> str:
    """The one command that makes a row, whatever of it is there already; FOLDER stands for prepared stores."""
    assert claim.recipe
    several = shipped(claim) and len(matching.networks(claim.recipe, claim.overrides)) > 1
    words = [f"python -m alexnet_pl {'ensemble' if several else 'reproduce'} -c {claim.recipe}", *claim.overrides]
    if shipped(claim) and claim.views != matching.default_views(claim.recipe):
        words += view_overrides(claim.views)
    words.append("data.root=FOLDER")
    if claim.data and not DATA[claim.data].labelled:
        words.append("test.split=test")
    return " ".join([*words, *(f"transfer.data_roots.{name}=FOLDER" for name in stores_before(claim))])


def shipped(claim: Claim) -> bool:
    return bool(claim.recipe) and recipes.shipped(str(claim.recipe))


def stores_before(claim: Claim) -> list[str]:
    if not shipped(claim):
        return []
    networks = matching.networks(str(claim.recipe), claim.overrides)
    return sorted({name for network in networks for name, _ in network.lineage})


def images_seen(claim: Claim) -> int:
    """Rough: what the row's networks see in training where no schedule ends it early, pre-training included."""
    if not shipped(claim):
        return 0
    total = 0
    for network in matching.networks(str(claim.recipe), claim.overrides):
        for name, training in [*network.lineage, (network.images, network.training)]:
            total += EPOCH.get(name, 0) * training["trainer"]["max_epochs"]
    return total
