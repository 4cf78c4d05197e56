"""Names of the variants of a network in tables: a row of the paper, a deviation from the program, or other settings."""

from collections import Counter
from collections.abc import Sequence
from functools import cache

from alexnet_pl.config.views import describe_views
from alexnet_pl.paper import matching
from alexnet_pl.paper.claim import Claim
from alexnet_pl.paper.claims import CLAIMS
from alexnet_pl.paper.deviations import label_changes
from alexnet_pl.paper.results import TestRun
from alexnet_pl.paper.variants import Variant, claimed_variant, variant_key

DEMOS = ("demo", "overfeat_demo")  # recipes on drawn images, with settings of their own; also their data sets


@cache
def listed_labels() -> dict[Variant, str]:
    """Names of the variants that have a row in the paper, in reverse order of the rows."""
    return {variant: claim.label for claim in reversed(error_claims()) if (variant := claimed_variant(claim))}


def label_variant(test: TestRun) -> str:
    return listed_labels().get(test.variant) or describe_unlisted_variant(test)


def usual_rates(tests: Sequence[TestRun]) -> tuple[float | None, ...]:
    """Learning rates of most of the tests that are compared."""
    return Counter(test.learning_rates for test in tests).most_common(1)[0][0]


def rate_label(tests: Sequence[TestRun], usual: tuple[float | None, ...]) -> str:
    """Learning rates of a variant, if they are not the usual ones: ", rate 0.005"."""
    rates = tests[0].learning_rates
    return "" if rates == usual else f", rate {', '.join(f'{rate:g}' for rate in rates if rate is not None)}"


def error_claims() -> list[Claim]:
    """Claims about a top-1 error that a recipe can measure, in the paper's order; not that on Fall 2009, whose network
    the paper compares with no other."""
    measurable = (claim for claim in CLAIMS if "top1_error" in claim.values and claim.recipe)
    return [claim for claim in measurable if claim.key != "fall2009.cnn"]


def sort_position(variant: Variant, labeled: list[Variant]) -> int:
    """Sort key: first the paper's variants in its order (`labeled` is in reverse order), then all others."""
    return -labeled.index(variant) if variant in labeled else 1


def describe_unlisted_variant(test: TestRun) -> str:
    """Name of a variant without a row in the paper: the network of a row with other views, a deviation, or a note that
    the settings differ, with the run's name."""
    if len(test.networks) > 1:
        weights = f", weights tuned on the {tuned} images" if (tuned := test.result.weights_tuned_on) else ""
        return f"{len(test.networks)} networks{weights} ({test.run.name})"
    views, *network = test.variant
    if same := [label for (_, *listed), label in listed_labels().items() if listed == network]:
        network_label = min(same, key=len).partition(", scale")[0]  # OverFeat's labels end with their scales
        return f"{network_label}, {describe_views(views)}"
    return name_own_recipe(test) or label_changes(test) or f"other settings ({test.run.name})"


def name_own_recipe(test: TestRun) -> str:
    """Name of the network of a demo's recipe, whose settings no row has; "" for other networks."""
    name = test.result.dataset.name
    if name not in DEMOS:
        return ""
    (expected,) = matching.recipe_networks(name)
    views, *network = test.variant
    same = network == [frozenset({(variant_key(expected.training, False), 1)}), ""]
    other_views = "" if views == matching.default_views(name) else f", {describe_views(views)}"
    return f"as the recipe {name}{other_views}" if same else ""
