"""What distinguishes groups of tests on one proxy data set: the store, the split, or training settings."""

from collections.abc import Iterator, Sequence

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.config.overrides import format_override
from alexnet_pl.console import pluralize
from alexnet_pl.paper.results import TestRun
from alexnet_pl.paper.variants import comparable_settings

EPOCHS = "trainer.max_epochs"


def distinguish_groups(groups: Sequence[Sequence[TestRun]]) -> list[str]:
    """For each group, the fewest properties that distinguish it from other groups on a data set of the same name, such
    as "60 epochs"; "" if there is no other group."""
    described = [describe_group(tests) for tests in groups]
    names = [tests[0].result.dataset.name for tests in groups]
    same = [[other for other, of in zip(described, names, strict=True) if of == name] for name in names]
    return [", ".join(fewest_properties(own, others)) for own, others in zip(described, same, strict=True)]


def name_group(dataset: str, distinction: str) -> str:
    """Data set and distinction of a group, unlike those of other groups on it."""
    return f"{dataset}, {distinction}" if distinction else dataset


def fewest_properties(own: dict[str, str], others: Sequence[dict[str, str]]) -> Iterator[str]:
    """Texts of properties that together differ from each of `others`, the one that differs from most of them first."""
    left = [other for other in others if any(differs(own, other, name) for name in own)]
    while left:
        name = max(own, key=lambda name: (sum(differs(own, other, name) for other in left), preference(name)))
        yield own[name]
        left = [other for other in left if not differs(own, other, name)]


def preference(name: str) -> int:
    """Rank of a property among those that distinguish equally well: readers know epochs better than fingerprints."""
    return 2 if name == EPOCHS else int(name not in ("store", "networks"))


def differs(own: dict[str, str], other: dict[str, str], name: str) -> bool:
    """Whether another group has a property too, with another value. Schedules are compared between fits of equal
    length, since a longer fit needs a longer schedule."""
    if name.startswith("schedule.") and other.get(EPOCHS) != own.get(EPOCHS):
        return False
    return bool(own[name]) and other.get(name, own[name]) != own[name]


def describe_group(tests: Sequence[TestRun]) -> dict[str, str]:
    """Properties that a group's networks share: name → text. `networks`: the run of an ensemble whose members differ in
    them, which is a group of its own."""
    dataset, settings = tests[0].result.dataset, [network.training or {} for network in tests[0].networks]
    first, *others = [dict(overrides(each)) for each in settings]
    shared = {name: text for name, text in first.items() if all(other.get(name) == text for other in others)}
    return {
        "store": f"store {dataset.fingerprint[:12]}",
        "split": f"test.split={dataset.split}",
        "networks": "" if all(other == first for other in others) else f"networks of {tests[0].run.name}",
        **shared,
        **shared_rates(tests),
    }


def shared_rates(tests: Sequence[TestRun]) -> dict[str, str]:
    """Learning rates of the networks of a test, unless they differ between tests, as where each variant has its own."""
    rates, *others = {test.learning_rates for test in tests}
    return {} if others else {"rates": f"optim.lr={' and '.join(map(str, rates))}"}


def overrides(training: Settings) -> Iterator[tuple[str, str]]:
    """(name, override) of each setting by which tests are grouped, learning rates apart."""
    settings = comparable_settings(training)
    schedule = {**settings.pop("schedule")}
    kind = schedule.pop("name", None)
    sections = {"augment": {"crop": settings.pop("crop")}, **settings, "schedule": {"name": kind, f"{kind}": schedule}}
    for name, value in dotted_leaves(sections):
        yield name, pluralize(int(value), "epoch") if name == EPOCHS and value else format_override(name, value)
