"""Page of localisation and detection: docs/boxes.md, and boxes.md of a report."""

from collections.abc import Iterable

from alexnet_pl.table import Table, to_markdown

HEAD = """# Boxes: localisation and detection

Written by `python -m alexnet_pl report` from run folders of `configs/overfeat_localise.yaml`,
`configs/overfeat_detect.yaml` and, for drawn scenes, `configs/boxes_demo*.yaml`. `scripts/boxes.sh OUT` makes the
tables of drawn scenes again; the [tutorial](tutorials/boxes.md) explains the measurements.

"""


def boxes_page(tables: Iterable[Table], note: str = "") -> str:
    """Page of `tables`; `note`: Markdown before them."""
    return HEAD + note + to_markdown(list(tables))
