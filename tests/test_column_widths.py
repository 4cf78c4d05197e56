"""Widths of columns: words stay whole, long cells get the room."""

import textwrap

from alexnet_pl.column_widths import count_cell_lines, fit_columns

COLUMNS = [
    ("row", "pooling without overlap, s = z = 2", "CNN"),
    ("a heading of many words", "1.0", "2.0"),
    ("ours", "40.60 (40.17 to 41.03)", "not yet measured"),
    ("", "", ""),
]


def test_columns_use_the_room_they_need() -> None:
    whole = [34, 23, 22, 1]
    assert fit_columns(COLUMNS, 200) == whole
    assert fit_columns(COLUMNS, sum(whole)) == whole
    headers_wrapped = fit_columns(COLUMNS, 70)
    assert (headers_wrapped[0], headers_wrapped[2]) == (34, 22), "cells come before headers"
    assert sum(headers_wrapped) == 70


def test_words_stay_whole_at_every_width_that_they_fit() -> None:
    least = len("overlap,") + len("heading") + len("measured") + 1
    assert fit_columns(COLUMNS, least - 1) == []
    for total in range(least, 80):
        widths = fit_columns(COLUMNS, total)
        assert sum(widths) == min(total, 80)
        for column, width in zip(COLUMNS, widths, strict=True):
            assert all(len(word) <= width for cell in column for word in cell.split())


def test_lines_are_those_of_textwrap() -> None:
    text = "On ILSVRC-2012 validation (50,000 images) unless noted, by the rule of the kit."
    for width in range(12, 90):
        assert count_cell_lines(text, width) == len(textwrap.wrap(text, width, break_on_hyphens=False)), width
