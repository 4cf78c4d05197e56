"""Text of tables without the spaces that align their columns."""

import re


def single_spaces(text: str) -> str:
    """Each run of spaces as one, and the rule below a header as `---` or, right-aligned, `---:`."""
    return re.sub(r":?-{3,}", "---", re.sub(" +", " ", text))
