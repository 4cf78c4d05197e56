"""Text from files stays text in Markdown and HTML."""

from html import unescape

from alexnet_pl.escape import escape_text, format_code


def test_markdown_and_html_become_text() -> None:
    hostile = "[a](javascript:x) `b` *c* <img src=x>"
    escaped = escape_text(hostile)
    assert "<" not in escaped
    assert unescape(escaped).replace("\\", "") == hostile
    assert all(escaped[i - 1] == "\\" for i, char in enumerate(escaped) if char in "[]`*")


def test_code_of_markdown_cannot_be_left() -> None:
    assert format_code("a`b`\n# c").count("`") == 2
    assert "\n" not in format_code("a\nb")
