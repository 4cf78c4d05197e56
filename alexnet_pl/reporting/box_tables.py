"""Tables of localisation and detection (OverFeat §4.4, §5): the paper's rows beside ours, and tests of other images."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from alexnet_pl.errors import UserError, reason
from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Sample
from alexnet_pl.paper.box_claims import BOX_CLAIMS, DETECTION, LOCALISATION, BoxClaim, matches_box_claim
from alexnet_pl.reporting.tables import Table
from alexnet_pl.runs import fit_status

UNSEEN = "†"
PAPER_HEADER = ["row", "place", "paper, %", "ours, %", "command"]
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
LOCALISER = ("loc_error", "top5_error", "given_class_error", "constant_box_error", "constant_box_loc_error")
KINDS = ("right", "double", "badly placed", "wrong class", "background", "missed")
DETECTOR_HEADER = ["negatives and test", "mAP, %", *KINDS, "learned from", "seeds"]

Tests = list[dict[str, Any]]


def read_boxes(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        _ = (
            found["dataset"]["fingerprint"],
            found["boxes"]["task"],
            found["detect"]["scales"],
            found["model"],
        )
        _ = found["map"] if found["task"] == "detect" else found["loc_error"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a test of boxes, or damaged ({reason(error)}); test again") from error
    return found


def collect(roots: Iterable[Path]) -> Tests:
    """Tests of finished fits below the folders, with what fit.json says of these; damaged ones are named, left out."""
    found: Tests = []
    for path in sorted({path.resolve() for root in roots for path in root.glob("**/results/*/boxes.json")}):
        try:
            test = read_boxes(path)
            test["trained"] = fit_status.read_fit_status(path.parents[2])
        except UserError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        if test["finished"]:
            found.append(test)
    return found


def box_claim_tables(tests: Tests) -> list[Table]:
    """The paper's rows, ours beside them where a run of the same settings and images is there."""
    notes = {
        LOCALISATION: (
            "Of ILSVRC-2012 validation, 50,000 images, where nothing else is said; an answer is right by the kit's "
            f"rule. {UNSEEN} printed source not seen: the number is from memory.",
        ),
        DETECTION: (
            "Mean average precision. What makes a window positive, how many negatives there are, scales and the "
            f"context of the later entry are not printed. {UNSEEN} printed source not seen.",
        ),
    }
    return [
        Table(
            part, PAPER_HEADER, [claim_cells(claim, tests) for claim in BOX_CLAIMS if claim.group == part], notes[part]
        )
        for part in (LOCALISATION, DETECTION)
    ]


def claim_cells(claim: BoxClaim, tests: Tests) -> list[str]:
    paper = "not printed" if math.isnan(claim.value) else f"{claim.bound} {claim.value:.1f}".strip()
    paper += "" if claim.verified else f" {UNSEEN}"
    if claim.reason_unmeasured:
        return [claim.label, claim.section, paper, claim.reason_unmeasured, ""]
    own = by_seed([test for test in tests if matches_box_claim(claim, test)])
    ours = cell([test[claim.metric] for test in own], own[0]["images"]) if own else "not yet measured"
    return [claim.label, claim.section, paper, ours, claim.command]


def by_seed(tests: Tests) -> Tests:
    """One test a seed."""
    return list({test["seed"]: test for test in tests}.values())


def cell(values: Sequence[float], images: int = 0) -> str:
    """Mean ± half of the 95 % interval: over seeds where there are several, else over images where they are counted."""
    found = intervals.mean_ci(Sample(values, images))
    if math.isnan(found.low):
        return f"{found.mean:.1f}"
    return f"{found.mean:.1f} ± {(found.high - found.low) / 2:.1f}"


def stand_in_tables(tests: Tests) -> list[Table]:
    """Tests by their images, task, and network: no row of the paper."""
    groups: dict[str, Tests] = {}
    for test in tests:
        key = [test["dataset"]["fingerprint"], test["dataset"]["split"], test["task"], test["model"]]
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(test)
    return [
        localiser_table(some) if some[0]["task"] == "localise" else detector_table(some) for some in groups.values()
    ]


def rows_of(tests: Tests, label: Callable[[dict[str, Any]], str]) -> dict[str, Tests]:
    found: dict[str, Tests] = {}
    for test in tests:
        found.setdefault(label(test), []).append(test)
    return {name: by_seed(some) for name, some in sorted(found.items())}


def localiser_table(tests: Tests) -> Table:
    rows = [
        [name, *(cell([test[metric] for test in some], some[0]["images"]) for metric in LOCALISER), *amount(some)]
        for name, some in rows_of(tests, localiser_label).items()
    ]
    return Table(f"Localisation, no row of the paper: {describe(tests[0])}", LOCALISER_HEADER, rows, LOCALISER_NOTES)


def amount(tests: Tests) -> list[str]:
    """What was seen in training, repetitions counted, and the number of seeds."""
    seen = {test["trained"].get("images") or 0 for test in tests}
    what = "windows" if tests[0]["task"] == "localise" else "images"
    return [" to ".join(f"{count:,}" for count in sorted({min(seen), max(seen)})) + f" {what}", str(len(tests))]


LOCALISER_NOTES = (
    "After ± half of the 95 % interval: over seeds where there are several, else over images.",
    "A constant box is the one that is right for most training images; a regressor that does not beat it has learned "
    "nothing. Its localisation error is that of the same guessed classes with that box.",
)


def localiser_label(test: dict[str, Any]) -> str:
    heads = "per class" if test["boxes"]["per_class"] else "shared"
    return f"{heads}; {describe_search(test['detect'])}"


def describe_search(asked: dict[str, Any]) -> str:
    """How boxes were found, in words."""
    windows = "centre window" if asked["positions"] == "center" else "all windows"
    scales = f"scale{'s' * (len(asked['scales']) > 1)} {', '.join(map(str, asked['scales']))}"
    if asked["combine"] == "nms":
        how = "suppression"
    else:
        how = "merged by the printed score" if asked["score"] == "literal" else "merged"
        how += "" if asked["weight"] == "count" else ", pairwise means"
    least = f", windows of at least {asked['least_score']:g}" if asked["least_score"] else ""
    return f"{windows}, {scales}, {how}{least}"


def detector_table(tests: Tests) -> Table:
    rows = []
    for name, some in rows_of(tests, detector_label).items():
        kinds = [f"{sum(test['mistakes'][kind] for test in some) / len(some):,.0f}" for kind in KINDS]
        rows.append([name, cell([test["map"] for test in some]), *kinds, *amount(some)])
    return Table(f"Detection, no row of the paper: {describe(tests[0])}", DETECTOR_HEADER, rows, DETECTOR_NOTES)


DETECTOR_NOTES = (
    "mAP: mean over classes of average precision, by the rule of VOC (from 2010 on) where the tests asked for it. "
    "The other columns count, of as many of the surest detections as there are boxes, how many were right or false and "
    "why; missed: boxes that none of these found; means over seeds.",
)


def detector_label(test: dict[str, Any]) -> str:
    random, hard = test["boxes"]["random_negatives"], test["boxes"]["hard_negatives"]
    negatives = f"{random} random, {hard} most offending" if random + hard else "none"
    return f"{negatives}; {describe_search(test['detect'])}"


def describe(test: dict[str, Any]) -> str:
    about, model = test["dataset"], test["model"]
    net = f"{model.get('net', 'accurate')} network of {test['window']}-pixel windows, width {model.get('width', 1.0):g}"
    images = f"{test['images']:,} {about['split']} images, {about['train_images']:,} to train on"
    return f"{about['name']}, {images}, {net} (store {about['fingerprint'][:12]})"


PAGE = """# Boxes: localisation and detection

Written by `python -m alexnet_pl report` from run folders of `configs/overfeat_localise.yaml`,
`configs/overfeat_detect.yaml` and, for drawn scenes, `configs/boxes_demo*.yaml`. `scripts/boxes.sh OUT` makes the
tables of drawn scenes anew; the [tutorial](tutorials/boxes.md) explains what is measured.

"""
