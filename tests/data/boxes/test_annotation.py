"""Boxes of annotations whose size is not that of the image."""

import numpy as np
import pytest

from alexnet_pl.data.boxes.annotation import UNANNOTATED, Annotation, Box, Coverage, relative_boxes

WIDTH, HEIGHT = 400, 300  # of the image


def pixels(width: int, height: int, *edges: tuple[float, ...]) -> tuple[list[list[float]], int, str]:
    """(boxes in pixels of the image, coverage, what was done) for an annotation of this size."""
    boxes = [Box(*each, 0) for each in edges]  # type: ignore[arg-type]
    found = relative_boxes(Annotation(boxes, Coverage.ALL, width, height), WIDTH, HEIGHT)
    sides = np.array([WIDTH, HEIGHT] * 2)
    return (found.edges * sides).round(3).tolist(), found.coverage, "".join(found.note[1:])


@pytest.mark.parametrize(("width", "height"), [(0, 0), (400, 300)])
def test_size_of_the_image_or_none(width: int, height: int) -> None:
    assert pixels(width, height, (10, 20, 30, 301)) == ([[10, 20, 30, 300]], Coverage.ALL, "")


def test_size_of_another_resolution_rescales() -> None:
    assert pixels(200, 150, (10, 20, 30, 40)) == ([[20, 40, 60, 80]], Coverage.ALL, "")
    assert pixels(200, 150, (10, 20, 30, 153)) == ([[20, 40, 60, 300]], Coverage.ALL, ""), "a few pixels too far"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (300, 400), (40, 30)])
def test_size_that_boxes_exceed_is_not_used(width: int, height: int) -> None:
    expected = [[10, 20, 30, 40], [100, 0, 390, 290]]
    done = "boxes read in the image's pixels"
    assert pixels(width, height, (10, 20, 30, 40), (100, 0, 390, 290)) == (expected, Coverage.ALL, done)


def test_one_wrong_box_does_not_move_the_others() -> None:
    """Of a copy in which the image is twice as large as the annotation says, with its shape but for rounding."""
    good, wrong = [(10, 20, 30, 40), (100, 0, 190, 140)], (100, 0, 300, 140)
    for height in (150, 151):
        found = pixels(200, height, *good, wrong)
        assert found[0][0][::2] == [20, 60]
        assert found[0][2][::2] == [200, WIDTH]
        assert found[2] == ""


def test_boxes_of_a_transposed_size_are_left_out() -> None:
    """Of a picture that the annotators' program had rotated, or with width and height exchanged."""
    assert pixels(300, 400, (0, 0, 150, 400)) == ([], Coverage.NONE, "boxes left out")
    assert pixels(300, 400) == ([], Coverage.ALL, ""), "nothing to leave out"


def test_file_that_could_not_be_read_has_no_size_and_no_boxes() -> None:
    assert len(relative_boxes(UNANNOTATED, 0, 0).labels) == 0
