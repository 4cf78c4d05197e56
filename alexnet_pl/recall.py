"""How good short codes are (§7.1): what they find of the true neighbours and of the query's class, and how fast."""

import math
from typing import Any

import numpy as np
from scipy import stats

from alexnet_pl.retrieval import Neighbours

RANKS = (6, 100)  # Figure 4's six, and a list to look through


def measure(method: str, bits: int | None, bytes_per_image: int, found: Neighbours, **known: Any) -> dict[str, Any]:
    """One row of the table. `known`: truth (queries, 100) numbers of the float neighbours; queries and images, labels.

    Recall: the share of the k float neighbours that are among the k found. Precision: the share of the k found that are
    of the query's class; None where labels are not known.
    """
    row: dict[str, Any] = {"method": method, "bits": bits, "bytes": bytes_per_image}
    row["queries_per_second"] = found.queries_per_second
    for k in RANKS:
        if k > found.numbers.shape[1]:
            continue
        row[f"recall_{k}"] = summary(shared(found.numbers[:, :k], known["truth"][:, :k]))
        row[f"precision_{k}"] = None
        if (known["queries"] >= 0).all() and (known["images"] >= 0).all():
            right = known["images"][found.numbers[:, :k]] == known["queries"][:, None]
            row[f"precision_{k}"] = summary(right.mean(1))
    return row


def shared(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(queries,) share of each row of `truth` that is in the same row of `found`; numbers are distinct in a row."""
    both = np.sort(np.concatenate([found, truth], 1), 1)
    return (both[:, 1:] == both[:, :-1]).sum(1) / truth.shape[1]


def summary(values: np.ndarray) -> dict[str, float]:
    """Mean in percent, and its 95 % interval over queries by the normal approximation."""
    mean, count = float(values.mean()), len(values)
    half = float(stats.norm.ppf(0.975)) * float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return {"mean": 100 * mean, "low": 100 * max(0.0, mean - half), "high": 100 * min(1.0, mean + half)}
