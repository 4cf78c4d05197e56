"""OverFeat §4.4 and §5: tables of the paper's rows for localisation and detection, and the rows that are missing."""

import math
from collections.abc import Sequence

from alexnet_pl.evaluation import intervals
from alexnet_pl.paper.box_claims import BOX_CLAIMS, DETECTION, LOCALISATION, BoxClaim
from alexnet_pl.paper.box_matching import VALIDATION, matches_box_claim
from alexnet_pl.paper.box_results import BoxTestRun
from alexnet_pl.reporting.tables import UNVERIFIED, UNVERIFIED_NOTE, format_mean
from alexnet_pl.table import Table

PAPER_HEADER = ["row", "section", "paper, %", "ours, % (95 % interval)"]


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
