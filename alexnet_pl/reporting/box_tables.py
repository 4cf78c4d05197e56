"""OverFeat §4.4 and §5: tables of localisation and detection, for the paper's rows and for proxy data sets."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from alexnet_pl.config.box_options import DetectOptions
from alexnet_pl.config.views import describe_scales
from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.box_result import OUTCOMES, BoxResult, DetectionResult, LocalisationResult, read_box_result
from alexnet_pl.evaluation.intervals import Sample
from alexnet_pl.evaluation.result import has_top5
from alexnet_pl.paper.box_claims import BOX_CLAIMS, DETECTION, LOCALISATION, BoxClaim
from alexnet_pl.paper.box_matching import VALIDATION, BoxTestRun, matches_box_claim
from alexnet_pl.reporting.box_differences import difference_table
from alexnet_pl.reporting.tables import UNVERIFIED, UNVERIFIED_NOTE, format_percentage
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.layout import read_each
from alexnet_pl.table import Table

PAPER_HEADER = ["row", "section", "paper, %", "ours, % (95 % interval)"]
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


def collect_box_tests(roots: Iterable[Path]) -> list[BoxTestRun]:
    """Collect the tests of finished fits in or below the folders, each with the number of images seen in training.

    Corrupt ones are named on stderr.
    """

    def read(path: Path) -> BoxTestRun:
        result, fit = read_box_result(path), fit_status.read_fit_status(path.parents[2])
        return BoxTestRun(path.parents[2], result, (fit and fit.images) or 0)

    paths = sorted({path.resolve() for root in roots for path in root.glob("**/results/*/boxes.json")})
    return [test for test in read_each(paths, read) if test.result.finished]


def box_claim_tables(tests: Sequence[BoxTestRun]) -> list[Table]:
    """Tables of the paper's rows for both tasks, with our values from runs with the same settings and images, and the
    commands for those that are missing."""
    missing = missing_claims(tests)
    tables = tables_of_claims(BOX_CLAIMS, tests)
    return [*tables, missing_table(missing)] if missing else tables


def tables_of_claims(claims: Sequence[BoxClaim], tests: Sequence[BoxTestRun]) -> list[Table]:
    """One table for each task that `claims` are about."""
    notes = {
        LOCALISATION: (
            "On ILSVRC-2012 validation (50,000 images) unless noted, by the rule of the development kit. The paper "
            "does not say which two or four of its six scales it used; ours are 1 and 4, and 1, 2, 4 and 6.",
            "SuperVision are the authors of AlexNet; their network for boxes is in neither its paper nor its program.",
            UNVERIFIED_NOTE,
        ),
        DETECTION: (
            "Mean average precision. The paper does not print when a window is positive, the number of negatives, the "
            f"scales, or the context of the later entry. {UNVERIFIED} not compared with the printed source.",
        ),
    }
    groups = {group: [claim for claim in claims if claim.group == group] for group in notes}
    return [
        Table(group, PAPER_HEADER, [box_claim_cells(claim, tests) for claim in found], notes[group])
        for group, found in groups.items()
        if found
    ]


def measured_claims(tests: Sequence[BoxTestRun]) -> list[BoxClaim]:
    return [claim for claim in BOX_CLAIMS if claim_values(claim, tests)]


def claim_values(claim: BoxClaim, tests: Sequence[BoxTestRun]) -> list[float]:
    """Our values of a claim, one per seed; with a baseline, differences of the seeds that both have."""
    found = values_by_seed(claim, tests)
    if claim.baseline is None:
        return list(found.values())
    others = values_by_seed(claim.baseline, tests)
    return [value - others[seed] for seed, value in found.items() if seed in others]


def values_by_seed(claim: BoxClaim, tests: Sequence[BoxTestRun]) -> dict[int | None, float]:
    matching = [test.result for test in tests if matches_box_claim(claim, test.result)]
    return {result.seed: getattr(result, claim.metric) for result in matching}


def missing_claims(tests: Sequence[BoxTestRun]) -> list[BoxClaim]:
    """Claims that a run can measure and none has."""
    measured = measured_claims(tests)
    return [claim for claim in BOX_CLAIMS if not claim.reason_unmeasured and claim not in measured]


def missing_table(claims: Sequence[BoxClaim]) -> Table:
    rows = [[claim.label, claim.command] for claim in claims]
    return Table("Missing localisation results, and the commands for them", ["row", "command"], rows)


def box_claim_cells(claim: BoxClaim, tests: Sequence[BoxTestRun]) -> list[str]:
    """Cells of a claim under `PAPER_HEADER`."""
    paper = "not printed" if math.isnan(claim.value) else f"{claim.bound} {claim.value:.1f}".strip()
    paper = f"+{paper} points" if claim.baseline else paper
    paper += "" if claim.verified else f" {UNVERIFIED}"
    if claim.reason_unmeasured:
        return [claim.label, claim.section, paper, claim.reason_unmeasured]
    values = claim_values(claim, tests)
    if not values:
        ours = "not yet measured"
    elif claim.baseline:
        ours = format_differences(values)
    else:
        ours = format_mean(values, VALIDATION.images)
    return [claim.label, claim.section, paper, ours]


def format_differences(points: Sequence[float]) -> str:
    """Mean in percentage points, with its 95 % interval over seeds if there are several."""
    if len(points) == 1:
        return f"{points[0]:+.1f} points"
    mean = intervals.paired_difference(points)
    return f"{mean.mean:+.1f} points ({mean.low:+.1f} to {mean.high:+.1f})"


def one_per_seed(tests: Sequence[BoxTestRun]) -> list[BoxTestRun]:
    """One test per seed, the last if there are several."""
    return list({test.result.seed: test for test in tests}.values())


def format_mean(values: Sequence[float], images: int = 0) -> str:
    """Mean with its 95 % interval: over seeds if their values differ, else over images if `images` is given."""
    sample = Sample(values if len(set(values)) > 1 else values[:1], images)
    return format_percentage(intervals.mean_ci(sample), 1)


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


def group_by_label(tests: Sequence[BoxTestRun], label: Callable[[BoxResult], str]) -> dict[str, list[BoxTestRun]]:
    """Tests with equal settings, one per seed, by `label` and the settings that it does not name."""
    settings = [unlabeled_settings(test.result) for test in tests]
    usual = {key: most_common([each.get(key, "") for each in settings]) for each in settings for key in each}
    groups: dict[str, list[BoxTestRun]] = {}
    for test, own in zip(tests, settings, strict=True):
        unusual = [f"{key}={own.get(key, '')}" for key in sorted(usual) if own.get(key, "") != usual[key]]
        groups.setdefault("; ".join([label(test.result), *unusual]), []).append(test)
    return {name: one_per_seed(group) for name, group in sorted(groups.items())}


IN_LABELS = {  # settings in the labels and titles of tables, and some that change no number
    "detect": ("scales", "positions", "least_score", "combine", "score", "weight", "blacklist", "confidence", "show"),
    "boxes": ("scales", "per_class", "random_negatives", "hard_negatives"),
}


def unlabeled_settings(test: BoxResult) -> dict[str, str]:
    """Settings of training and test that no label names, by config key, as JSON."""
    sections = {**(test.training or {}), "boxes": asdict(test.boxes), "detect": asdict(test.detect)}
    return {
        f"{name}.{key}": f"{value:g}" if isinstance(value, float) else json.dumps(value)
        for name, section in sections.items()
        for key, value in section.items()
        if key not in IN_LABELS.get(name, ())
    }


def most_common(values: Sequence[str]) -> str:
    return Counter(sorted(values)).most_common(1)[0][0]


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


def describe_detector(test: BoxResult) -> str:
    random, hard = test.boxes.random_negatives, test.boxes.hard_negatives
    negatives = f"{random} random, {hard} hard" if random + hard else "none"
    return f"{negatives}; {describe_search(test.detect)}"


def describe_box_test(test: BoxResult) -> str:
    dataset, model = test.dataset, test.model
    net = f"{model.get('net', 'accurate')} network of {test.window}-pixel windows, width {model.get('width', 1.0):g}"
    images = f"{test.images:,} {dataset.split} images, trained on {dataset.train_images:,}"
    return f"{images} (store {dataset.fingerprint[:12]}) at {describe_scales(test.boxes.scales)}, {net}"


PAGE = """# Boxes: localisation and detection

Written by `python -m alexnet_pl report` from run folders of `configs/overfeat_localise.yaml`,
`configs/overfeat_detect.yaml` and, for drawn scenes, `configs/boxes_demo*.yaml`. `scripts/boxes.sh OUT` makes the
tables of drawn scenes again; the [tutorial](tutorials/boxes.md) explains the measurements.

"""
