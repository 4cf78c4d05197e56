"""Text from files stays text in CSV, Markdown and HTML."""

from html import unescape

from alexnet_pl.escape import escape_formula, escape_text, format_code


def test_formulas_of_a_spreadsheet_become_text_and_numbers_stay() -> None:
    for cell in ("=cmd|x!A1", "+1+cmd|x", "-2+3", "@sum", "-1 (+cmd"):
        assert escape_formula(cell) == f"'{cell}"
    for cell in ("-1.5", "+1.61 (-2.59 to +5.81)", -3.2, "tench", "a=b"):
        assert escape_formula(cell) == cell


def test_markdown_and_html_become_text() -> None:
    hostile = "[a](javascript:x) `b` *c* <img src=x>"
    escaped = escape_text(hostile)
    assert "<" not in escaped
    assert unescape(escaped).replace("\\", "") == hostile
    assert all(escaped[i - 1] == "\\" for i, char in enumerate(escaped) if char in "[]`*")


def test_code_of_markdown_cannot_be_left() -> None:
    assert format_code("a`b`\n# c").count("`") == 2
    assert "\n" not in format_code("a\nb")
