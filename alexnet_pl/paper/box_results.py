"""Tests of boxes found in run folders."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.evaluation.box_result import BoxResult, read_box_result
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.layout import read_each


class BoxTestRun(NamedTuple):
    """`images_seen`: images or windows in training, including repetitions, 0 if not known."""

    run: Path
    result: BoxResult
    images_seen: int = 0


def collect_box_tests(roots: Iterable[Path]) -> list[BoxTestRun]:
    """Collect the tests of finished fits in or below the folders, each with the number of images seen in training.

    Corrupt ones are named on stderr.
    """

    def read(path: Path) -> BoxTestRun:
        result, fit = read_box_result(path), fit_status.read_fit_status(path.parents[2])
        return BoxTestRun(path.parents[2], result, (fit and fit.images) or 0)

    paths = sorted({path.resolve() for root in roots for path in root.glob("**/results/*/boxes.json")})
    return [test for test in read_each(paths, read) if test.result.finished]
