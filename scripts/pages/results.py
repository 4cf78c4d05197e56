"""Tables of docs/results.md, README.md and docs/how-to/clusters.md, from files written by commands."""

import csv
import json

from pages.markdown import ROOT, join, number, table

ROWS = (  # rows of report.csv shown in README, by part and label; docs/results.md has the others
    "CNN", "1 CNN", "5 CNNs", "1 CNN*", "7 CNNs*", "CNN, six convolutional layers",
    "four layers, no normalization", "four layers, normalization", "the same with tanh, times that",
)  # fmt: skip
LABELS = {"the same with tanh, times that": "tanh: epochs to 25 % training error, times ReLU's"}
PAGES = {  # rows measured differently from the paper, or by runs with their own page
    "the same with tanh, times that": "[{ratio}]({docs}figure1.md)",
    "four layers, no normalization": "not yet measured ([a tenth of the schedule]({docs}norms.md))",
    "four layers, normalization": "not yet measured ([a tenth of the schedule]({docs}norms.md))",
}


def results_table(labels: tuple[str, ...] | None, docs: str) -> str:
    """Table from docs/results.csv, a copy of `report`'s report.csv; all rows, or those with `labels`."""
    rows: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    with (ROOT / "docs/results.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            if line["part"].startswith("proxy") or line["command"] == "" or (labels and line["row"] not in labels):
                continue
            cell = f"{line['bound']} {number(line['paper'], 1)}".strip(), number(line["ours"], 2)
            rows.setdefault((line["row"], line["data"], line["place"]), []).append(cell)
    lines = [
        (LABELS.get(label, label), data, place, join(p for p, _ in cells), ours_of(label, [o for _, o in cells], docs))
        for (label, data, place), cells in rows.items()
    ]
    return table(("network", "images", "in the paper", "paper", "ours"), lines)


def ours_of(label: str, values: list[str], docs: str) -> str:
    cell = PAGES.get(label, "not yet measured")
    return join(values) if any(values) else cell.format(docs=docs, ratio=figure1_ratio())


def figure1_ratio() -> str:
    """Ratio of epochs in docs/figure1.md, which `figures` writes: mean ± standard deviation."""
    rows = (ROOT / "docs/figure1.md").read_text().splitlines()
    row = next(row for row in rows if row.startswith("| how many times faster ReLUs are |"))
    return row.split("|")[3].partition(",")[0].strip()


def failures_table() -> str:
    """Table from docs/data/failures.json, which `make failures` writes."""
    seconds = json.loads((ROOT / "docs/data/failures.json").read_text())
    return table(
        ("of two processes", "seconds until both have ended"), ((case, f"{s:.0f}") for case, s in seconds.items())
    )
