"""Page of localisation and detection: docs/boxes.md, and boxes.md of a report."""

from collections.abc import Iterable

from alexnet_pl.table import Table, to_markdown

HEAD = """# Boxes: localisation and detection

Written by `python -m alexnet_pl report` from run folders of `configs/overfeat_localise.yaml`,
`configs/overfeat_detect.yaml` and, for drawn scenes, `configs/boxes_demo*.yaml`. `scripts/boxes.sh OUT` makes the
tables of drawn scenes again; the {tutorial} explains the measurements.

"""


def boxes_page(tables: Iterable[Table], note: str = "", tutorial: str = "tutorial (docs/tutorials/boxes.md)") -> str:
    """Page of `tables`; `note`: Markdown before them; `tutorial`: a link for a page beside it, as of docs/."""
    return HEAD.format(tutorial=tutorial) + note + to_markdown(tables)
