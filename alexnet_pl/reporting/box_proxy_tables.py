"""OverFeat §4.4 and §5: tables of localisation and detection on proxy data sets, for tests that match no row."""

import json
from collections.abc import Sequence

from alexnet_pl.evaluation.box_result import OUTCOMES, BoxResult, DetectionResult, LocalisationResult
from alexnet_pl.evaluation.result import has_top5
from alexnet_pl.paper.box_claims import BOX_CLAIMS
from alexnet_pl.paper.box_matching import matches_box_claim
from alexnet_pl.paper.box_results import BoxTestRun
from alexnet_pl.reporting.box_differences import difference_table
from alexnet_pl.reporting.box_labels import describe_box_test, describe_detector, describe_localiser, group_by_label
from alexnet_pl.reporting.tables import format_mean
from alexnet_pl.table import Table

LOCALISER_METRICS = ("loc_error", "top5_error", "given_class_error", "constant_box_error", "constant_box_loc_error")
LOCALISER_HEADER = [
    "regressor and test",
    "localisation error, %",
    "top-5 error, %",
    "box error, class given, %",
    "constant box, class given, %",
    "constant box, localisation, %",
    "learned from",
    "seeds",
]
DETECTOR_HEADER = ["negatives and test", "mAP, %", *OUTCOMES, "learned from", "seeds"]


def box_proxy_tables(tests: Sequence[BoxTestRun]) -> list[Table]:
    """Tables of each combination of images, task, network and scales learned from, for tests that match no row of the
    paper: the results, and their differences, paired by seed."""
    groups: dict[str, list[BoxTestRun]] = {}
    for test in tests:
        result = test.result
        if any(matches_box_claim(claim, result) for claim in BOX_CLAIMS):
            continue
        key = [result.dataset.fingerprint, result.dataset.split, result.task, result.model, result.boxes.scales]
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(test)
    return [table for group in groups.values() for table in results_and_differences(group)]


def results_and_differences(tests: Sequence[BoxTestRun]) -> list[Table]:
    localise = isinstance(tests[0].result, LocalisationResult)
    labeled = group_by_label(tests, describe_localiser if localise else describe_detector)
    results = localiser_table(labeled) if localise else detector_table(labeled)
    return [results, *difference_table(labeled)]


def localiser_table(groups: dict[str, list[BoxTestRun]]) -> Table:
    rows = [
        [
            name,
            *(localiser_cell(metric, group) for metric in LOCALISER_METRICS),
            *training_cells(group),
        ]
        for name, group in groups.items()
    ]
    test = first_test(groups)
    title = f"Localisation, no row of the paper: {test.dataset.name}"
    return Table(title, LOCALISER_HEADER, rows, (f"{describe_box_test(test)}.", *LOCALISER_NOTES))


def localiser_cell(metric: str, group: Sequence[BoxTestRun]) -> str:
    first = group[0].result
    if metric == "top5_error" and not has_top5(first.dataset.classes):
        return ""
    return format_mean([getattr(test.result, metric) for test in group], first.images)


def first_test(groups: dict[str, list[BoxTestRun]]) -> BoxResult:
    return next(iter(groups.values()))[0].result


def training_cells(tests: Sequence[BoxTestRun]) -> list[str]:
    """Images or windows processed in training, including repetitions, and the number of seeds."""
    seen = {test.images_seen for test in tests}
    unit = "windows" if isinstance(tests[0].result, LocalisationResult) else "images"
    return [" to ".join(f"{count:,}" for count in sorted({min(seen), max(seen)})) + f" {unit}", str(len(tests))]


LOCALISER_NOTES = (
    "In brackets: the 95 % interval, over seeds if their values differ, else over images.",
    "Constant box: the box that is right for most training images, a baseline for the regressor. Its localisation "
    "error uses the same predicted classes.",
)


def detector_table(groups: dict[str, list[BoxTestRun]]) -> Table:
    rows = []
    for name, group in groups.items():
        results = [test.result for test in group if isinstance(test.result, DetectionResult)]
        outcomes = [f"{sum(one.mistakes[outcome] for one in results) / len(results):,.0f}" for outcome in OUTCOMES]
        rows.append([name, format_mean([one.map for one in results]), *outcomes, *training_cells(group)])
    test = first_test(groups)
    title = f"Detection, no row of the paper: {test.dataset.name}"
    notes = f"{describe_box_test(test)}.", *DETECTOR_NOTES, *shared_images_note(groups)
    return Table(title, DETECTOR_HEADER, rows, notes)


def shared_images_note(groups: dict[str, list[BoxTestRun]]) -> list[str]:
    """Sentence about tested images that the network may have been chosen on before it learned to detect."""
    shared = max(test.result.classification_val_images for group in groups.values() for test in group)
    if not shared:
        return []
    return [
        f"{shared:,} of the images are also ILSVRC-2012's validation images for classification: mAP is too high if the "
        "network that a detector starts from was chosen or trained on them."
    ]


DETECTOR_NOTES = (
    "mAP: average precision, mean over classes, by the rule of the VOC challenge since 2010 where the tests set it. "
    "The other columns sort the most confident detections, as many as there are boxes, by outcome; missed: boxes that "
    "none of these finds with the right class. Means over seeds.",
)
