"""Precision-recall curves of retrieval (§7.1): all images ranked by their distance from each query."""

from dataclasses import dataclass

import numpy as np

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.search import ROWS, consecutive_groups

POINTS = 40  # ranks of a curve, evenly spaced by their logarithm
RANKS = (6, 100)  # ranks of the tables, which are points of the curve too; 6 as in Figure 4


@dataclass(frozen=True)
class Curve:
    """Means over queries, in percent, if the images up to each of `ranks` are retrieved."""

    ranks: list[int]
    precision: list[float]
    recall: list[float]


def vector_distances(features: Features, queries: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances up to a constant for each query: (queries, images) float32."""
    distances = np.empty((len(queries), len(features)), np.float32)
    for numbers in consecutive_groups(len(features), ROWS):
        block = features.rows(numbers)
        distances[:, numbers] = np.square(block).sum(1) - 2 * queries.astype(np.float32) @ block.T
    return distances


def bit_distances(codes: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Numbers of different bits: (queries, images) uint16. Both are packed, (N, bytes) uint8."""
    return np.stack([np.bitwise_count(codes ^ query).sum(1, dtype=np.uint16) for query in queries])


def measure_curve(distances: np.ndarray, relevant: np.ndarray) -> Curve:
    """Curve of a ranking by `distances`, (queries, images), with ties in a fixed random order.

    `relevant`: (queries, images) bool. Queries without a relevant image are left out.
    """
    count = distances.shape[1]
    order, ranks = epoch_order(count, 0, 0), curve_ranks(count)
    precisions, recalls = [], []
    for row, wanted in zip(distances[:, order], relevant[:, order], strict=True):
        if wanted.any():
            found = wanted[np.argsort(row, kind="stable")].cumsum()[ranks - 1]
            precisions.append(found / ranks)
            recalls.append(found / wanted.sum())
    return Curve(ranks.tolist(), *(percent(means) for means in (precisions, recalls)))


def curve_ranks(count: int) -> np.ndarray:
    spaced = np.geomspace(1, count, POINTS).round().astype(np.int64)
    return np.union1d(spaced, np.array([rank for rank in RANKS if rank <= count], np.int64))


def percent(rows: list[np.ndarray]) -> list[float]:
    """Means of the columns in percent, rounded for the file."""
    return [round(100 * float(mean), 3) for mean in np.mean(rows, 0)] if rows else []
