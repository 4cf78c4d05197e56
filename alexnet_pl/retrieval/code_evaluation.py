"""Compare binary codes (§7.1) with float vectors, untrained codes, and codes of raw pixels."""

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
from alexnet_pl.retrieval.hamming import Encoder, HammingIndex, encode, pack, pca_hash, random_projection_hash
from alexnet_pl.retrieval.search import Neighbours, search

TIMES = 5
FLOAT, FLOAT_PIXELS = "float vectors of fc7, exact", "float raw pixels, exact"
METHODS = {"fc7": "auto-encoder on fc7", "pixels": "auto-encoder on raw pixels"}
UNTRAINED: dict[str, Callable[[Features, int, int], Encoder]] = {
    "PCA of fc7, signs": lambda features, bits, seed: pca_hash(features, bits),
    "random projections of fc7, signs": random_projection_hash,
}


class Comparison:
    """Everything is held against the exact neighbours of fc7's float vectors among the training images."""

    def __init__(self, train: Features, tested: Features, queries: int | None) -> None:
        self.train, self.tested = train, tested
        self.numbers = np.sort(epoch_order(len(tested), 0, 0)[:queries])
        self.labels = tested.labels[self.numbers]
        self.deepest = min(RANKS[-1], len(train))
        if self.deepest < RANKS[0]:
            raise UserError(f"{train.folder}: {len(train)} images, fewer than the {RANKS[0]} neighbours to be found")

    @cached_property
    def truth(self) -> Neighbours:
        return search(self.train, self.tested.rows(self.numbers), self.deepest)

    def row(self, method: str, bits: int | None, bytes_per_image: int, found: Neighbours) -> dict[str, Any]:
        known = {"truth": self.truth.numbers, "queries": self.labels, "images": self.train.labels}
        return measure_recall(method, bits, bytes_per_image, found, **known)

    def float_rows(self) -> list[dict[str, Any]]:
        return [self.row(FLOAT, None, 2 * self.train.width, self.truth)]

    def learned(self, book: CodeBook, tested: Features) -> list[dict[str, Any]]:
        """The auto-encoder's row; of pixels, also what these find without being compressed."""
        layer = book.features.info.layer
        if book.features.names != self.train.names or tested.names != self.tested.names:
            raise UserError(f"{book.features.folder}: of other images than {self.train.folder}; make both again")
        queries = tested.rows(self.numbers)
        found = self.look_up(book.index, book.net.encode(queries))
        rows = [self.row(METHODS[layer], book.bits, book.codes.shape[1], found)]
        if layer == "pixels":
            exact = search(book.features, queries, self.deepest)
            rows.append(self.row(FLOAT_PIXELS, None, 2 * book.features.width, exact))
        return rows

    def look_up(self, index: HammingIndex, bits: np.ndarray) -> Neighbours:
        """Searched `TIMES` times, of which the fastest counts: it takes milliseconds."""
        found = [index.search(pack(bits), self.deepest) for _ in range(TIMES)]
        return min(found, key=lambda one: one.seconds)

    def untrained(self, bits: int, seed: int) -> list[dict[str, Any]]:
        rows, queries = [], self.tested.rows(self.numbers)
        for method, make in UNTRAINED.items():
            encoder = make(self.train, bits, seed)
            codes = encode(encoder, self.train)
            found = self.look_up(HammingIndex(codes), encoder(queries))
            rows.append(self.row(method, bits, codes.shape[1], found))
        return rows


RANKS = (6, 100)  # Figure 4's six, and a list to look through


def measure_recall(
    method: str, bits: int | None, bytes_per_image: int, found: Neighbours, **known: Any
) -> dict[str, Any]:
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
