"""Escape text that comes from files, so that it becomes no HTML and no Markdown."""

import re
from html import escape

from alexnet_pl.console import mask_control


def escape_html(text: str) -> str:
    """Escape <, > and & outside of attributes."""
    return escape(text, quote=False)


def escape_marks(text: str) -> str:
    """Escape Markdown's links, code and emphasis in text from records, for a page whose HTML is escaped later."""
    return re.sub(r"([\\`*\[\]])", r"\\\1", mask_control(text))


def escape_text(text: str) -> str:
    """Escape Markdown and HTML."""
    return escape_html(escape_marks(text))


def format_code(text: str) -> str:
    """Code within a line of Markdown, which text from records cannot leave."""
    return "`" + mask_control(text).replace("`", "'") + "`"
