"""Evaluation of binary codes (§7.1) beside float vectors, untrained codes, and codes of raw pixels."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
from scipy import stats

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.errors import UserError
from alexnet_pl.retrieval.code_result import NEIGHBOR_LOSS
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
from alexnet_pl.retrieval.precision_recall import RANKS, Relevant, bit_distances, measure_curves, vector_distances
from alexnet_pl.retrieval.search import Neighbors, search_exactly

REPETITIONS = 5
CURVE_QUERIES = 500  # queries of precision-recall curves, for each of which all images are ranked
NEAREST, CLASS = "nearest", "class"  # what is to be retrieved, in precision-recall curves
FLOAT, FLOAT_PIXELS = "float vectors of fc7, exact", "float raw pixels, exact"
METHODS = {"fc7": "auto-encoder on fc7", "pixels": "auto-encoder on raw pixels"}
UNTRAINED: dict[str, Callable[[Features, int, int], Encoder]] = {
    "PCA of fc7, signs": lambda features, bits, seed: pca_hash(features, bits),
    "random projections of fc7, signs": random_projection_hash,
}


def trained_method(layer: str, neighbors: float) -> str:
    """Name of the codes of a layer trained with a neighbor loss of this weight."""
    return METHODS[layer] + (NEIGHBOR_LOSS + (f" × {neighbors:g}" if neighbors != 1 else "") if neighbors else "")


TRAINED = [trained_method(layer, weight) for layer in METHODS for weight in (1, 0)]
METHOD_ORDER = [FLOAT, *TRAINED[:2], *UNTRAINED, *TRAINED[2:], FLOAT_PIXELS]  # in tables and legends


def split_weight(method: str) -> tuple[str, float]:
    """A method's name without the weight of its neighbor loss, and the weight: 1 where none is given."""
    name, _, weight = method.partition(" × ")
    return name, float(weight or 1)


def method_sort_key(method: str) -> tuple[int, float]:
    """Key to sort methods in tables and legends: by `METHOD_ORDER`, then by the weight of the neighbor loss."""
    name, weight = split_weight(method)
    return METHOD_ORDER.index(name), weight


class CodeComparison:
    """Compares search methods by the exact nearest neighbors of fc7's float vectors among the training images.

    `tested`: features of the queries, of which at most `queries` are used. Raises UserError for too few images.
    """

    def __init__(self, train: Features, tested: Features, queries: int | None) -> None:
        self.train, self.tested = train, tested
        drawn = epoch_order(len(tested), 0, 0)[:queries]
        self.numbers = np.sort(drawn)
        # positions in `numbers`; the first of them would be images of a few classes, since stores are sorted by class
        self.curve_queries = np.sort(np.searchsorted(self.numbers, drawn[:CURVE_QUERIES]))
        self.labels = tested.labels[self.numbers]
        self.max_rank = min(RANKS[-1], len(train))
        if self.max_rank < RANKS[0]:
            raise UserError(f"{train.folder}: {len(train)} images, but {RANKS[0]} neighbors are searched for")

    @cached_property
    def truth(self) -> Neighbors:
        return search_exactly(self.train, self.tested.rows(self.numbers), self.max_rank)

    def row(
        self,
        method: str,
        bits: int | None,
        bytes_per_image: int,
        neighbors: Neighbors,
        distances: Iterable[np.ndarray],
    ) -> dict[str, Any]:
        """Row of the table, with curves. `distances`: of each of `curve_queries` from all images."""
        curves = measure_curves(distances, len(self.train), self.relevant)
        return {
            "method": method,
            "bits": bits,
            "bytes": bytes_per_image,
            "queries_per_second": neighbors.queries_per_second,
            **measure_recall(neighbors.numbers, self.truth.numbers),
            **measure_precision(neighbors.numbers, self.labels, self.train.labels),
            "curves": {kind: asdict(curve) for kind, curve in curves.items()},
        }

    @property
    def relevant(self) -> dict[str, Relevant]:
        """Functions from the number of one of `curve_queries` to the images to retrieve: the nearest by float vectors
        and, if all classes are known, those of the query's class."""
        images, labels = np.arange(len(self.train)), self.labels[self.curve_queries]
        nearest = self.truth.numbers[self.curve_queries]
        relevant: dict[str, Relevant] = {NEAREST: lambda query: np.isin(images, nearest[query])}
        if (self.labels >= 0).all() and (self.train.labels >= 0).all():
            relevant[CLASS] = lambda query: self.train.labels == labels[query]
        return relevant

    def float_rows(self) -> list[dict[str, Any]]:
        distances = vector_distances(self.train, self.tested.rows(self.numbers[self.curve_queries]))
        return [self.row(FLOAT, None, 2 * self.train.width, self.truth, distances)]

    def learned_rows(self, book: CodeBook, tested: Features, neighbors: float = 0.0) -> list[dict[str, Any]]:
        """Rows of an auto-encoder's codes; for codes of pixels, also of the pixels themselves.

        `neighbors`: weight of the neighbor loss in training.
        """
        layer = book.features.info.layer
        if book.features.names != self.train.names or tested.names != self.tested.names:
            raise UserError(
                f"{book.features.folder}: features of other images than {self.train.folder}; make both again"
            )
        queries = tested.rows(self.numbers)
        rows = [self.code_row(trained_method(layer, neighbors), book.codes, book.index, book.net.encode(queries))]
        if layer == "pixels":
            exact = search_exactly(book.features, queries, self.max_rank)
            distances = vector_distances(book.features, queries[self.curve_queries])
            rows.append(self.row(FLOAT_PIXELS, None, 2 * book.features.width, exact, distances))
        return rows

    def code_row(self, method: str, codes: np.ndarray, index: HammingIndex, queries: np.ndarray) -> dict[str, Any]:
        """Row of packed `codes`, (images, bytes), and their index, for `queries`, (N, bits) bool: the fastest of
        `REPETITIONS` searches, since a search takes milliseconds."""
        packed = pack_bits(queries)
        neighbors = min((index.search(packed, self.max_rank) for _ in range(REPETITIONS)), key=attrgetter("seconds"))
        distances = bit_distances(codes, packed[self.curve_queries])
        return self.row(method, queries.shape[1], codes.shape[1], neighbors, distances)

    def untrained_rows(self, bits: int, seed: int) -> list[dict[str, Any]]:
        rows, queries = [], self.tested.rows(self.numbers)
        for method, make in UNTRAINED.items():
            encoder = make(self.train, bits, seed)
            codes = encode_features(encoder, self.train)
            rows.append(self.code_row(method, codes, HammingIndex(codes), encoder(queries)))
        return rows


def measure_recall(numbers: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Recall in percent at each of `RANKS` up to the number of images found: the fraction of the k float neighbors
    that are among the k found.

    `numbers`: (queries, found); `truth`: (queries, 100), the float neighbors.
    """
    ranks = [k for k in RANKS if k <= numbers.shape[1]]
    return {f"recall_{k}": mean_percent_ci(overlap(numbers[:, :k], truth[:, :k])) for k in ranks}


def measure_precision(numbers: np.ndarray, labels: np.ndarray, image_labels: np.ndarray) -> dict[str, Any]:
    """Precision in percent at the same ranks: the fraction of the k found that have the query's class; None if a label
    is unknown.

    `numbers`: (queries, found); `labels`: (queries,); `image_labels`: of all images.
    """
    ranks = [k for k in RANKS if k <= numbers.shape[1]]
    if (labels < 0).any() or (image_labels < 0).any():
        return {f"precision_{k}": None for k in ranks}
    right = image_labels[numbers] == labels[:, None]
    return {f"precision_{k}": mean_percent_ci(right[:, :k].mean(1)) for k in ranks}


def overlap(numbers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fraction of each row of `truth` that is in the same row of `numbers`: (queries,). Rows have distinct numbers."""
    merged = np.sort(np.concatenate([numbers, truth], 1), 1)
    return (merged[:, 1:] == merged[:, :-1]).sum(1) / truth.shape[1]


def mean_percent_ci(values: np.ndarray) -> dict[str, float]:
    """Mean in percent, with its 95 % interval over queries (normal approximation)."""
    mean, count = float(values.mean()), len(values)
    half = float(stats.norm.ppf(0.975)) * float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return {"mean": 100 * mean, "low": 100 * max(0.0, mean - half), "high": 100 * min(1.0, mean + half)}
