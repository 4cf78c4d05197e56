"""Tables: those that show the first rows only, and cells of several lines."""

import pytest
from rich.cells import cell_len

from alexnet_pl.table import GLUE, note_rest, wrap_cell


def test_note_counts_the_rows_that_a_table_leaves_out() -> None:
    assert note_rest(2050, 50) == ("… and 2,000 more",)
    assert note_rest(51, 50) == ("… and 1 more",)
    assert note_rest(50, 50) == note_rest(3, 50) == ()


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("北京 上海 广州 深圳 成都", 14, ["北京 上海 广州", "深圳 成都"]),
        (f"犬 10.2{GLUE}%, 鳥 4.1{GLUE}%", 12, ["犬 10.2 %,", "鳥 4.1 %"]),
        ("tench goldfish\nshark", 9, ["tench", "goldfish", "shark"]),
        ("", 9, [""]),
    ],
)
def test_lines_are_broken_between_words_also_of_wide_characters(text: str, width: int, lines: list[str]) -> None:
    """Otherwise rich would break them again: within the words, and before the % of a number."""
    assert wrap_cell(text, width).split("\n") == lines
    assert max(map(cell_len, lines)) <= width
