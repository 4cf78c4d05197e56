"""Evaluation of binary codes (§7.1) beside float vectors, untrained codes, and codes of raw pixels."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.errors import UserError
from alexnet_pl.retrieval.codebook import CodeBook
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.hamming import (
    Encoder,
    HammingIndex,
    encode_features,
    pack_bits,
    pca_hash,
    random_projection_hash,
)
from alexnet_pl.retrieval.search import Neighbors, search_exactly

REPETITIONS = 5
FLOAT, FLOAT_PIXELS = "float vectors of fc7, exact", "float raw pixels, exact"
METHODS = {"fc7": "auto-encoder on fc7", "pixels": "auto-encoder on raw pixels"}
UNTRAINED: dict[str, Callable[[Features, int, int], Encoder]] = {
    "PCA of fc7, signs": lambda features, bits, seed: pca_hash(features, bits),
    "random projections of fc7, signs": random_projection_hash,
}


class CodeComparison:
    """Compares search methods by the exact nearest neighbours of fc7's float vectors among the training images.

    `tested`: features of the queries, of which at most `queries` are used. Raises UserError for too few images.
    """

    def __init__(self, train: Features, tested: Features, queries: int | None) -> None:
        self.train, self.tested = train, tested
        self.numbers = np.sort(epoch_order(len(tested), 0, 0)[:queries])
        self.labels = tested.labels[self.numbers]
        self.max_rank = min(RANKS[-1], len(train))
        if self.max_rank < RANKS[0]:
            raise UserError(f"{train.folder}: {len(train)} images, but {RANKS[0]} neighbours are searched for")

    @cached_property
    def truth(self) -> Neighbors:
        return search_exactly(self.train, self.tested.rows(self.numbers), self.max_rank)

    def row(self, method: str, bits: int | None, bytes_per_image: int, neighbors: Neighbors) -> dict[str, object]:
        known = {"truth": self.truth.numbers, "queries": self.labels, "images": self.train.labels}
        return measure_recall(method, bits, bytes_per_image, neighbors, **known)

    def float_rows(self) -> list[dict[str, object]]:
        return [self.row(FLOAT, None, 2 * self.train.width, self.truth)]

    def learned_rows(self, book: CodeBook, tested: Features) -> list[dict[str, object]]:
        """Rows of an auto-encoder's codes; for codes of pixels, also of the pixels themselves."""
        layer = book.features.info.layer
        if book.features.names != self.train.names or tested.names != self.tested.names:
            raise UserError(
                f"{book.features.folder}: features of other images than {self.train.folder}; make both again"
            )
        queries = tested.rows(self.numbers)
        neighbors = self.fastest_search(book.index, book.net.encode(queries))
        rows = [self.row(METHODS[layer], book.bits, book.codes.shape[1], neighbors)]
        if layer == "pixels":
            exact = search_exactly(book.features, queries, self.max_rank)
            rows.append(self.row(FLOAT_PIXELS, None, 2 * book.features.width, exact))
        return rows

    def fastest_search(self, index: HammingIndex, bits: np.ndarray) -> Neighbors:
        """Search `REPETITIONS` times and return the fastest result, since a search takes milliseconds."""
        results = [index.search(pack_bits(bits), self.max_rank) for _ in range(REPETITIONS)]
        return min(results, key=lambda one: one.seconds)

    def untrained_rows(self, bits: int, seed: int) -> list[dict[str, object]]:
        rows, queries = [], self.tested.rows(self.numbers)
        for method, make in UNTRAINED.items():
            encoder = make(self.train, bits, seed)
            codes = encode_features(encoder, self.train)
            neighbors = self.fastest_search(HammingIndex(codes), encoder(queries))
            rows.append(self.row(method, bits, codes.shape[1], neighbors))
        return rows


RANKS = (6, 100)  # 6 as in Figure 4


def measure_recall(
    method: str, bits: int | None, bytes_per_image: int, neighbors: Neighbors, **known: Any
) -> dict[str, object]:
    """Row of the table for one method, with recall and precision at each of `RANKS` in percent.

    `known`: `truth`, (queries, 100) numbers of the float neighbours; `queries` and `images`, their labels. Recall is
    the fraction of the k float neighbours that are among the k found. Precision is the fraction of the k found that
    have the query's class; None if labels are unknown.
    """
    row: dict[str, object] = {"method": method, "bits": bits, "bytes": bytes_per_image}
    row["queries_per_second"] = neighbors.queries_per_second
    for k in RANKS:
        if k > neighbors.numbers.shape[1]:
            continue
        row[f"recall_{k}"] = mean_percent_ci(overlap(neighbors.numbers[:, :k], known["truth"][:, :k]))
        row[f"precision_{k}"] = None
        if (known["queries"] >= 0).all() and (known["images"] >= 0).all():
            right = known["images"][neighbors.numbers[:, :k]] == known["queries"][:, None]
            row[f"precision_{k}"] = mean_percent_ci(right.mean(1))
    return row


def overlap(numbers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fraction of each row of `truth` that is in the same row of `numbers`: (queries,). Rows have distinct numbers."""
    merged = np.sort(np.concatenate([numbers, truth], 1), 1)
    return (merged[:, 1:] == merged[:, :-1]).sum(1) / truth.shape[1]


def mean_percent_ci(values: np.ndarray) -> dict[str, float]:
    """Mean in percent, with its 95 % interval over queries (normal approximation)."""
    mean, count = float(values.mean()), len(values)
    half = float(stats.norm.ppf(0.975)) * float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return {"mean": 100 * mean, "low": 100 * max(0.0, mean - half), "high": 100 * min(1.0, mean + half)}
