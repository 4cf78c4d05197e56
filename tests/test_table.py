"""Tables that show the first rows only."""

from alexnet_pl.table import note_rest


def test_note_counts_the_rows_that_a_table_leaves_out() -> None:
    assert note_rest(2050, 50) == ("… and 2,000 more",)
    assert note_rest(51, 50) == ("… and 1 more",)
    assert note_rest(50, 50) == note_rest(3, 50) == ()
