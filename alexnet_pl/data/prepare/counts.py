"""Numbers of images in a copy, held against what its development kit or its own lists say, or the paper's (§2)."""

from collections.abc import Mapping

from alexnet_pl.data.prepare.plan import Plan
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.errors import UserError

KNOWN_COUNTS = {
    "ilsvrc2010": {"train": 1_261_406, "val": 50_000, "test": 150_000},
    "ilsvrc2012": {"train": 1_281_167, "val": 50_000, "test": 100_000},
}
"""By the name of the store: the images of the official splits, as the development kits count them."""

ALLOW = "get the copy again, or prepare what is there with prepare.allow_incomplete=true"


def check_counts(plan: Plan, source: DatasetListing, name: str, allow_incomplete: bool) -> list[str]:
    """Where a split has another number of images than it should, one sentence each, for the store to carry.

    Raises UserError instead unless `allow_incomplete`. Prints what was counted where nothing says what there should be.
    """
    expected = {**KNOWN_COUNTS.get(name, {}), **expected_counts(source)}
    wrong = [
        f"{split}: {plan.counts[split]:,} images, but there should be {expected[split]:,}{classes}"
        for split, classes in {split: odd_classes(plan, source, split) for split in plan.counts}.items()
        if plan.counts[split] != expected.get(split, plan.counts[split]) or classes
    ]
    if wrong and not allow_incomplete:
        raise UserError(f"prepare.source: {'; '.join(wrong)}; {ALLOW}")
    if not expected:
        counted = ", ".join(f"{count:,} {split}" for split, count in plan.counts.items())
        print(f"  counted {counted} images; nothing in the copy says how many there should be", flush=True)
    return wrong


def expected_counts(source: DatasetListing) -> Mapping[str, int]:
    own = {"train": sum(source.class_counts)} if source.class_counts else {}
    return {**own, **source.expected}


def odd_classes(plan: Plan, source: DatasetListing, split: str) -> str:
    """The first class with another number of training images than the copy's lists say, and how many more."""
    if split != "train" or source.class_counts is None:
        return ""
    odd = [label for label, wanted in enumerate(source.class_counts) if plan.class_counts.get(label, 0) != wanted]
    if not odd:
        return ""
    more = f" and {len(odd) - 1:,} more classes" if len(odd) > 1 else ""
    found, wanted = plan.class_counts.get(odd[0], 0), source.class_counts[odd[0]]
    return f" ({source.classes[odd[0]][0]} has {found:,} of {wanted:,}{more})"
