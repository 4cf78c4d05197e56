"""Labels of tests of boxes in tables: the settings that tell them apart, in words."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

from alexnet_pl.config.box_options import DetectOptions
from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.config.views import describe_scales
from alexnet_pl.evaluation.box_result import BoxResult
from alexnet_pl.paper.box_results import BoxTestRun


def one_per_seed(tests: Sequence[BoxTestRun]) -> list[BoxTestRun]:
    """One test per seed, the last if there are several."""
    return list({test.result.seed: test for test in tests}.values())


def group_by_label(tests: Sequence[BoxTestRun], label: Callable[[BoxResult], str]) -> dict[str, list[BoxTestRun]]:
    """Tests with equal settings, one per seed, by `label` and the settings that it does not name."""
    settings = [unlabeled_settings(test.result) for test in tests]
    usual = {key: most_common([each.get(key, "") for each in settings]) for each in settings for key in each}
    groups: dict[str, list[BoxTestRun]] = {}
    for test, own in zip(tests, settings, strict=True):
        unusual = [f"{key}={own.get(key, '')}" for key in sorted(usual) if own.get(key, "") != usual[key]]
        groups.setdefault("; ".join([label(test.result), *unusual]), []).append(test)
    return {name: one_per_seed(group) for name, group in sorted(groups.items())}


IN_LABELS = (  # settings in the labels and titles of tables, and some that change no number
    "detect.scales", "detect.positions", "detect.least_score", "detect.combine", "detect.score", "detect.weight",
    "detect.blacklist", "detect.confidence", "detect.show",
    "boxes.scales", "boxes.per_class", "boxes.random_negatives", "boxes.hard_negatives",
)  # fmt: skip


def unlabeled_settings(test: BoxResult) -> dict[str, str]:
    """Settings of training and test that no label names, by config key, as JSON."""
    sections = {**(test.training or {}), "boxes": asdict(test.boxes), "detect": asdict(test.detect)}
    return {
        key: f"{value:g}" if isinstance(value, float) else json.dumps(value)
        for key, value in dotted_leaves(sections)
        if key not in IN_LABELS
    }


def most_common(values: Sequence[str]) -> str:
    return Counter(sorted(values)).most_common(1)[0][0]


def describe_localiser(test: BoxResult) -> str:
    return f"{'per class' if test.boxes.per_class else 'shared'}; {describe_search(test.detect)}"


def describe_search(detect: DetectOptions) -> str:
    """Windows, scales and combination of a search for boxes, in words."""
    windows = "center window" if detect.positions == "center" else "all windows"
    scales = describe_scales(detect.scales or [])
    if detect.combine == "nms":
        combination = "suppression"
    else:
        combination = "merged by the printed score" if detect.score == "literal" else "merged"
        combination += "" if detect.weight == "count" else ", pairwise means"
    threshold = f", windows of at least {detect.least_score:g}" if detect.least_score else ""
    return f"{windows}, {scales}, {combination}{threshold}"


def describe_detector(test: BoxResult) -> str:
    random, hard = test.boxes.random_negatives, test.boxes.hard_negatives
    negatives = f"{random} random, {hard} hard" if random + hard else "none"
    return f"{negatives}; {describe_search(test.detect)}"


def describe_box_test(test: BoxResult) -> str:
    dataset, model = test.dataset, test.model
    net = f"{model.get('net', 'accurate')} network of {test.window}-pixel windows, width {model.get('width', 1.0):g}"
    images = f"{test.images:,} {dataset.split} images, trained on {dataset.train_images:,}"
    return f"{images} (store {dataset.fingerprint[:12]}) at {describe_scales(test.boxes.scales)}, {net}"
