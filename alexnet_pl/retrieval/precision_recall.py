"""Precision-recall curves of retrieval (§7.1): all images ranked by their distance from each query."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.hamming import tie_order
from alexnet_pl.retrieval.search import ROWS, consecutive_groups

QUERIES_PER_BLOCK = 100  # 512 MB of distances from 1.28 million images
POINTS = 40  # ranks of a curve, evenly spaced by their logarithm
RANKS = (6, 100)  # ranks of the tables, which are points of the curve too; 6 as in Figure 4

Relevant = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Curve:
    """Means over queries, in percent, if the images up to each of `ranks` are retrieved."""

    ranks: list[int]
    precision: list[float]
    recall: list[float]


def vector_distances(features: Features, queries: np.ndarray) -> Iterator[np.ndarray]:
    """Squared Euclidean distances of each query, up to a constant: (images,) float32."""
    for start in range(0, len(queries), QUERIES_PER_BLOCK):
        block = queries[start : start + QUERIES_PER_BLOCK].astype(np.float32)
        distances = np.empty((len(block), len(features)), np.float32)
        for numbers in consecutive_groups(len(features), ROWS):
            vectors = features.rows(numbers)
            distances[:, numbers] = np.square(vectors).sum(1) - 2 * block @ vectors.T
        yield from distances


def bit_distances(codes: np.ndarray, queries: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of different bits for each query: (images,) uint16. Both are packed, (N, bytes) uint8."""
    return (np.bitwise_count(codes ^ query).sum(1, dtype=np.uint16) for query in queries)


def measure_curves(distances: Iterable[np.ndarray], images: int, relevant: dict[str, Relevant]) -> dict[str, Curve]:
    """Curve of a ranking for each kind of relevant image, with ties in a fixed random order.

    `distances`: (images,) for each query; `relevant`: function from the number of a query to (images,) bool. Queries
    without a relevant image are left out.
    """
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in relevant}
    totals: dict[str, list[int]] = {kind: [] for kind in relevant}
    shuffled, ranks = tie_order(images), curve_ranks(images)
    for query, row in enumerate(distances):
        order = shuffled[np.argsort(row[shuffled], kind="stable")]
        for kind, is_relevant in relevant.items():
            if (wanted := is_relevant(query)).any():
                found[kind].append(wanted[order].cumsum()[ranks - 1])
                totals[kind].append(int(wanted.sum()))
    return {kind: make_curve(ranks, np.array(found[kind]), np.array(totals[kind])) for kind in relevant}


def make_curve(ranks: np.ndarray, found: np.ndarray, totals: np.ndarray) -> Curve:
    """Mean over queries. `found`: (queries, ranks), number of relevant images up to each rank; `totals`: of all."""
    if not len(found):
        return Curve([], [], [])
    return Curve(ranks.tolist(), percent((found / ranks).mean(0)), percent((found / totals[:, None]).mean(0)))


def curve_ranks(count: int) -> np.ndarray:
    spaced = np.geomspace(1, count, POINTS).round().astype(np.int64)
    return np.union1d(spaced, np.array([rank for rank in RANKS if rank <= count], np.int64))


def percent(shares: np.ndarray) -> list[float]:
    """Percent, rounded for the file."""
    return np.round(100 * shares, 3).tolist()
