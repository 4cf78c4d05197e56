"""Submission files of boxes, read back by the formats of ILSVRC's development kits."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from alexnet_pl.detection.box_submission import why_not_submittable, write_box_submission
from alexnet_pl.detection.boxes import Boxes, ious
from alexnet_pl.detection.finder import PredictedBoxes

IDS = [7, 3, 10]
SIZE = (300, 400)  # height and width


def make_store(ids: list[int] | None = IDS, missing: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(ilsvrc_ids=ids, missing=missing))


def make_split(*names: str, records: int | None = None, slots: list[int] | None = None) -> Any:
    return SimpleNamespace(
        names=[f"test/{name}" for name in names],
        records=records or len(names),
        slots=np.array(slots or range(len(names))),
        original_sizes=np.tile(SIZE, (len(names), 1)),
    )


def localised(*numbers: int, **options: Any) -> Any:
    return make_split(*(f"ILSVRC2012_test_{number:08d}.JPEG" for number in numbers), **options)


def boxes(labels: list[int], *edges: list[float]) -> PredictedBoxes:
    return PredictedBoxes(np.array(labels), np.linspace(2, 1, len(labels)), np.array(edges, float).reshape(-1, 4))


def exclusive(words: list[str]) -> Boxes:
    """Boxes of a file with the first pixel 0 and inclusive edges, as the package counts."""
    edges = np.array([int(word) for word in words]).reshape(-1, 4)
    assert (edges >= 0).all()
    assert (edges[:, 2:] < [SIZE[1], SIZE[0]]).all()
    assert (edges[:, :2] <= edges[:, 2:]).all()
    return edges + np.array([0.0, 0, 1, 1])


def test_localisation_has_a_line_per_image_by_its_number(tmp_path: Path) -> None:
    """Images in another order, two of which could not be read; a box at the image's edge."""
    found = {0: boxes([2, 0], [10, 20, 110.4, 220], [0, 0, 400, 300]), 1: boxes([1], [5.2, 6.6, 30, 40])}
    split = localised(4, 2, records=5)
    assert write_box_submission(tmp_path / "s.txt", make_store(), split, "localise", found) == (5, 3)
    lines = (tmp_path / "s.txt").read_text().split("\n")
    assert lines.pop() == "", "the last line ends too"
    assert [line.split()[::5] for line in lines] == [["1"], ["3"], ["1"], ["10", "7"], ["1"]]
    words = np.array(lines[3].split()).reshape(2, 5)[:, 1:].ravel().tolist()
    assert ious(exclusive(words), found[0].boxes).diagonal() == pytest.approx(1, abs=0.01)
    assert exclusive(lines[1].split()[1:]).tolist() == [[5, 7, 30, 40]]


def test_detection_has_a_line_per_box_with_the_number_of_the_image_in_the_order_of_names(tmp_path: Path) -> None:
    split = make_split("ILSVRC2012_test_00000003.JPEG", "ILSVRC2013_test_00000001.JPEG", records=3, slots=[0, 2])
    found = {0: boxes([1], [1, 2, 3, 4]), 1: boxes([0, 0], [50, 60, 70, 80], [0.2, 0.2, 0.4, 0.4])}
    assert write_box_submission(tmp_path / "s.txt", make_store(), split, "detect", found) == (3, 1)
    rows = [line.split() for line in (tmp_path / "s.txt").read_text().splitlines()]
    assert [row[:2] for row in rows] == [["1", "3"], ["3", "7"], ["3", "7"]]
    assert [float(row[2]) for row in rows] == [2, 2, 1]
    assert [exclusive(row[3:]).tolist()[0] for row in rows] == [[1, 2, 3, 4], [50, 60, 70, 80], [0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("store", "split", "task", "says"),
    [
        (make_store(), localised(1), "localise", ""),
        (make_store(), localised(1), "detect", ""),
        (make_store(ids=None), localised(1), "localise", "no ids"),
        (make_store(), make_split("ILSVRC2012_val_00000001.JPEG"), "localise", "not a test image"),
        (make_store(), make_split("ILSVRC2013_test_00000001.JPEG"), "localise", "not a test image"),
        (make_store(), localised(2, 1), "localise", ""),
        (make_store(), localised(2, 1), "detect", "another order"),
        (make_store(missing=("test",)), localised(1), "detect", "lacks files"),
    ],
)
def test_other_images_are_not_submitted(store: Any, split: Any, task: str, says: str) -> None:
    reason = why_not_submittable(store, split, task)
    assert says in reason
    assert bool(says) == bool(reason)
