"""Markdown of a picture that has a light and a dark version."""

from html import escape


def picture_lines(folder: str, name: str, words: str) -> list[str]:
    """`words`: for readers who do not see the picture."""
    return [
        "<picture>",
        f'<source media="(prefers-color-scheme: dark)" srcset="{folder}/{name}-dark.png">',
        f'<img alt="{escape(words)}" src="{folder}/{name}.png">',
        "</picture>",
    ]
