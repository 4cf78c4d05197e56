"""Tables of the paper's comparisons made on a proxy dataset."""

import math

from alexnet_pl.evaluation.intervals import Estimate
from alexnet_pl.paper.claim import ERRORS
from alexnet_pl.paper.proxies import ProxyResults, verdicts
from alexnet_pl.reporting.tables import Table


def proxy_tables(found: ProxyResults) -> list[Table]:
    rows = [
        [one.label, *(interval_of(one.values, metric) for metric in ERRORS), str(one.values["top1_error"].runs)]
        for one in found.errors
    ]
    errors = Table(f"Stand-in, no row of the paper: {found.about}", [*HEAD, "runs"], rows, PROXY_NOTES)
    compared = [
        [
            one.claim.label,
            one.claim.place,
            " / ".join("worse" if math.isnan(value) else f"{value:+.1f}" for value in one.paper.values()),
            " / ".join(f"{v.mean:+.2f} ({v.low:+.2f} to {v.high:+.2f})" for v in one.ours.values()),
            f"{one.ours['top1_error'].runs} ({one.ours['top1_error'].basis})",
            "" if math.isnan(one.p) else f"{one.p:.2g}",
            one.showed,
        ]
        for one in found.comparisons
    ]
    if not compared:
        return [errors]
    header = [
        "compared with the full network",
        "where",
        "paper, points",
        "here, points (95 %)",
        "runs (interval over)",
        "p",
        "the order",
    ]
    said = [f"{word[0].upper()}{word[1:]}: {', '.join(labels)}." for word, labels in verdicts(found).items()]
    return [errors, Table("Orderings of the paper on that stand-in", header, compared, (P_NOTE, *said))]


PROXIES = """# What of the paper shows on stand-in data

Written by `python -m alexnet_pl report` from run folders. These are not ImageNet's images, nor as many, nor were the
networks trained as long; no number here is one of the paper's, and none should be read as one. Effects of a point or
two drown in the spread between seeds at this size: "not told apart" is what is to be expected of them, and no seed was
chosen by its result. "Hardly learned": in so short a training one of the two came less than half of the way from
guessing to no error, so that their difference is one of how soon they begin to learn, not of the paper's effect.

The runs named `proxy` are those of `scripts/proxy.sh`: of Imagenette's ten classes every second one is the task, the
other five are what is pre-trained on; networks of the paper's size, at crops of 83 pixels, 10 epochs, two CPU cores. A
comparison that is not in the tables below was not yet measured.

"""
HEAD = ["network", "top-1 error, % (95 %)", "top-5 error, % (95 %)"]
P_NOTE = (
    "Intervals are of each comparison by itself; p is of no difference in top-1 error, adjusted for the number of "
    "comparisons in this table (Holm), and decides the verdict at 0.05."
)
PROXY_NOTES = (
    "One run: the interval is over images (Wilson). Several: over runs (Student's t), all on the same images.",
    "Where the classes are five or fewer, a top-5 error is 0 by definition.",
)


def interval_of(values: dict[str, Estimate], metric: str) -> str:
    """No error rate is below 0 or above 100, whatever Student's t makes of two runs that are far apart."""
    value = values.get(metric)
    return f"{value.mean:.2f} ({max(0, value.low):.2f} to {min(100, value.high):.2f})" if value else ""
