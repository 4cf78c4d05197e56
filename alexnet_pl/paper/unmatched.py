"""Run folders that fill no row of the paper, each with the reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alexnet_pl.errors import UserError
from alexnet_pl.paper.box_matching import explain_box_mismatch
from alexnet_pl.paper.box_results import BoxTestRun
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.paper.mismatch import explain_mismatch
from alexnet_pl.paper.results import TestRun
from alexnet_pl.paper.rows import ReportRow, source_claim
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import FIT, PRETRAINED, collect_runs


@dataclass(frozen=True)
class UnmatchedRun:
    """`test`: split and views of the test; "" for a run without one that counts."""

    run: Path
    test: str
    reason: str


def collect_unmatched(
    roots: Sequence[Path], tests: Sequence[TestRun], rows: Sequence[ReportRow], box_tests: Sequence[BoxTestRun]
) -> list[UnmatchedRun]:
    """Runs below `roots` that fill none of `rows` and no row of boxes, sorted by folder."""
    filled = filled_claims(rows)
    unfilled = [unmatched_test(test) for test in tests if test.claim not in filled]
    boxes = [
        UnmatchedRun(test.run, test.result.dataset.split, reason)
        for test in box_tests
        if (reason := explain_box_mismatch(test.result, [other.result for other in box_tests]))
    ]
    tested = {*(test.run.resolve() for test in tests), *(test.run for test in box_tests)}
    others = [one for run in collect_runs(roots, FIT) if run.resolve() not in tested for one in untested_run(run)]
    return sorted([*unfilled, *boxes, *others], key=lambda one: one.run.resolve())


def filled_claims(rows: Sequence[ReportRow]) -> set[str]:
    """Keys of the claims whose tests provide the numbers of measured rows."""
    return {source_claim(row.claim) for row in rows if row.measured}


def unmatched_test(test: TestRun) -> UnmatchedRun:
    reason = explain_unfilled(test.claim) if test.claim else explain_mismatch(test)
    return UnmatchedRun(test.run, f"{test.result.dataset.split}, {test.result.views}", reason)


def explain_unfilled(key: str) -> str:
    """Reason why a test that matches a claim gives no value for it."""
    claim = BY_KEY[key]
    if not claim.relative:
        return f"a run of “{claim.label}” ({claim.place}), but its files do not hold the number"
    baseline = BY_KEY[str(claim.baseline)]
    same = f"none of “{baseline.label}” with the same schedule.name"
    return f"a run of “{claim.label}” ({claim.place}), but {same} to compare it with"


def untested_run(run: Path) -> Iterator[UnmatchedRun]:
    """A run without a test that counts; nothing if its test is of another kind, or its fit.json is corrupt."""
    try:
        fit = read_fit_status(run)
    except UserError as error:
        yield UnmatchedRun(run, "", str(error))
        return
    if fit and not fit.finished:
        yield UnmatchedRun(run, "", "the fit is not finished")
    elif not any(run.glob("results/*/*.json")):
        use = f"the network that {run.parent.name} continues from; " if run.name == PRETRAINED else ""
        yield UnmatchedRun(run, "", f"{use}not tested yet; `test` with the run folder does it")
    elif any(run.glob("results/*/codes.json")):
        yield UnmatchedRun(run, "", "binary codes, for which the paper gives no number (§7.1)")
