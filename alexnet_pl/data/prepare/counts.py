"""Numbers of images in a copy, compared with those of the official data sets and of the copy's own lists."""

from collections import Counter
from collections.abc import Mapping

from alexnet_pl.console import mask_control
from alexnet_pl.data.prepare.plan import Plan
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.official_sets import KNOWN_COUNTS
from alexnet_pl.errors import UserError

ALLOW = "get the copy again, or prepare what is there with prepare.allow_incomplete=true"


def check_counts(plan: Plan, source: DatasetListing, name: str, allow_incomplete: bool) -> list[str]:
    """Compare image counts with the expected ones; return one sentence per split that differs, for the store to record.

    Raises UserError instead unless `allow_incomplete` or the split is optional. Prints the counts if no expected counts
    are known, those of files that are not images, and classes without training images.
    """
    print_skipped_files(source)
    print_empty_classes(plan, source)
    expected = {**KNOWN_COUNTS.get(name, {}), **expected_counts(source)}
    wrong = describe_wrong_counts(plan, source, expected)
    if not allow_incomplete and (refused := [text for split, text in wrong.items() if split not in source.optional]):
        raise UserError(f"prepare.source: {'; '.join(refused)}; {ALLOW}")
    if not expected:
        counted = ", ".join(f"{count:,} {split}" for split, count in plan.counts.items())
        print(f"  counted {counted} images; the copy does not say how many there should be", flush=True)
    return list(wrong.values())


def print_skipped_files(source: DatasetListing) -> None:
    if others := sum(source.skipped_files.values(), Counter[str]()):
        text = ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in others.most_common())
        print(mask_control(f"  skipped files that are not images: {text}"), flush=True)


def print_empty_classes(plan: Plan, source: DatasetListing) -> None:
    """Print the first classes without training images, such as class 0 of labels that count from 1."""
    empty = [name for label, (name, _) in enumerate(source.classes) if not plan.class_counts[label]]
    if empty and plan.class_counts:
        few = mask_control(", ".join(empty[:3]))
        print(f"  no training images of {len(empty):,} of {len(source.classes):,} classes: {few}", flush=True)


def expected_counts(source: DatasetListing) -> Mapping[str, int]:
    own = {"train": sum(source.class_counts)} if source.class_counts else {}
    return {**own, **source.expected}


def describe_wrong_counts(plan: Plan, source: DatasetListing, expected: Mapping[str, int]) -> dict[str, str]:
    """A sentence for each split with another number of images than expected, in total or of a class."""
    wrong = {}
    for split, count in plan.counts.items():
        classes = odd_classes(plan, source) if split == "train" else ""
        if classes or count != expected.get(split, count):
            wrong[split] = f"{split}: {count:,} images, but there should be {expected[split]:,}{classes}"
    return wrong


def odd_classes(plan: Plan, source: DatasetListing) -> str:
    """Text on the first class whose number of training images differs from the copy's lists, and how many more do."""
    if source.class_counts is None:
        return ""
    odd = [label for label, wanted in enumerate(source.class_counts) if plan.class_counts.get(label, 0) != wanted]
    if not odd:
        return ""
    more = f" and {len(odd) - 1:,} more classes" if len(odd) > 1 else ""
    found, wanted = plan.class_counts.get(odd[0], 0), source.class_counts[odd[0]]
    return f" ({source.classes[odd[0]][0]} has {found:,} of {wanted:,}{more})"
