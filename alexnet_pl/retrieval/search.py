"""Nearest images by their features (§7.1; §6.1 of 2012): "two images produce feature activation vectors with a small
Euclidean separation".

Exact by default: every vector is compared, a block at a time, so that 1.28 million of 4,096 numbers in float16 (10.5 GB
on the disk) need 0.3 GB of memory. `index=ivf` and `index=hnsw` compare fewer and need them all in memory, as float16.
The program (findsimilar.py) keeps only the nearest image of each of its batch files: `per_file=1000`.
"""

import json
import logging
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.errors import UserError, reason
from alexnet_pl.retrieval.features import Features

ROWS = 16384  # vectors of a block, 268 MB as float32 of 4,096
OVERSAMPLE = 8  # more than are asked for, since float32 may order near ties wrongly
INDEXES = ("flat", "ivf", "hnsw")


def faiss() -> ModuleType:
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells which instructions it was compiled for
    try:
        import faiss as library
    except ImportError as error:
        raise UserError("faiss is not installed, which searches: pip install alexnet_pl[retrieval]") from error
    return library


class Neighbours(NamedTuple):
    """Nearest images of each query, nearest first."""

    numbers: np.ndarray  # (queries, k) int64, rows of the features searched
    distances: np.ndarray  # (queries, k) float64, Euclidean; or bits that differ
    seconds: float  # that the search took

    @property
    def queries_per_second(self) -> float:
        return len(self.numbers) / max(self.seconds, 1e-9)


def search(
    features: Features,
    queries: np.ndarray,
    k: int = 6,
    per_file: int | None = None,
    own: np.ndarray | None = None,
    rows: int = ROWS,
) -> Neighbours:
    """The exact `k` nearest of all images to each of `queries`, (N, width).

    `per_file`: at most one of any so many images, as the program has it, whose batch files hold images in random order.
    `own`: (N,) rows that the queries are themselves, which do not count.
    """
    check_search(features, queries, k, per_file, own is not None)
    began = time.perf_counter()
    wanted = k + OVERSAMPLE + (own is not None)
    best = TopK(len(queries), wanted)
    exact = np.ascontiguousarray(queries, np.float32)
    for numbers in files(len(features), per_file) if per_file else ranges(len(features), rows):
        keep = 2 if per_file and own is not None else 1 if per_file else wanted
        squares, places = faiss().knn(exact, features.rows(numbers), min(keep, len(numbers)))
        found = numbers[places]
        if per_file:
            squares, found = drop_self(own, squares, found, 1)
        best.add(squares, found)
    numbers = drop_self(own, best.squares, best.numbers, min(k + OVERSAMPLE, best.squares.shape[1]))[1]
    return Neighbours(*rerank_exactly(features, queries, numbers, k), time.perf_counter() - began)


def check_search(features: Features, queries: np.ndarray, k: int, per_file: int | None, own: bool) -> None:
    if queries.ndim != 2 or queries.shape[1] != features.width:
        raise UserError(f"{features.folder}: vectors of {features.width} numbers; the queries have {queries.shape[1:]}")
    if per_file is not None and per_file < 1:
        raise UserError(f"retrieval.per_file={per_file}: at least 1 image, or null")
    most = (-(-len(features) // per_file) if per_file else len(features)) - own
    if not 0 < k <= most:
        raise UserError(f"retrieval.k={k}: from 1 to {most:,} of the {len(features):,} images of {features.folder}")


def ranges(count: int, rows: int) -> Iterator[np.ndarray]:
    for start in range(0, count, rows):
        yield np.arange(start, min(start + rows, count))


def files(count: int, per_file: int) -> Iterator[np.ndarray]:
    """Images in random order, `per_file` at a time: the program's files were written in such an order."""
    order = epoch_order(count, 0, 0)
    for start in range(0, count, per_file):
        yield np.sort(order[start : start + per_file])


class TopK:
    """The `count` smallest squares seen so far of each query; missing ones are infinite, with number −1."""

    def __init__(self, queries: int, count: int) -> None:
        self.squares = np.full((queries, count), np.inf, np.float32)
        self.numbers = np.full((queries, count), -1, np.int64)

    def add(self, squares: np.ndarray, numbers: np.ndarray) -> None:
        squares, numbers = np.hstack([self.squares, squares]), np.hstack([self.numbers, numbers])
        order = np.argsort(squares, 1, kind="stable")[:, : self.squares.shape[1]]
        self.squares, self.numbers = np.take_along_axis(squares, order, 1), np.take_along_axis(numbers, order, 1)


def drop_self(
    own: np.ndarray | None, squares: np.ndarray, numbers: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` of each query, itself left out."""
    if own is not None:
        last = np.argsort(numbers == own[:, None], 1, kind="stable")  # False before True
        squares, numbers = np.take_along_axis(squares, last, 1), np.take_along_axis(numbers, last, 1)
        squares = np.where(numbers == own[:, None], np.inf, squares)
        numbers = np.where(numbers == own[:, None], -1, numbers)
    return squares[:, :count], numbers[:, :count]


def rerank_exactly(
    features: Features, queries: np.ndarray, numbers: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `k` of the candidates by distances in float64; equal ones in the order of the images."""
    found, distances = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), np.inf)
    for i, (query, own) in enumerate(zip(queries, numbers, strict=True)):
        own = np.sort(own[own >= 0])
        squares = np.square(features.values[own].astype(np.float64) - query.astype(np.float64)).sum(1)
        order = np.argsort(squares, kind="stable")[:k]
        found[i, : len(order)], distances[i, : len(order)] = own[order], np.sqrt(squares[order])
    return found, distances


class Index:
    """An approximate index of features, kept beside them with a note of what it was made from.

    ivf: √N cells, of which the 16 nearest are compared. hnsw: a graph of 32 neighbours. Vectors as float16.
    """

    def __init__(self, features: Features, kind: str) -> None:
        if kind not in INDEXES[1:]:
            raise UserError(f"retrieval.index={kind}: one of {', '.join(INDEXES)}")
        self.features, self.kind = features, kind
        self.path = features.folder / f"{kind}.faiss"
        self.facts = {"kind": kind, **features.identity}
        self.index = self.read() if self.path.is_file() else self.make()

    def read(self) -> Any:
        about = self.path.with_suffix(".json")
        try:
            found = json.loads(about.read_text())
            index = faiss().read_index(str(self.path)) if found == self.facts else None
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.path}: damaged ({reason(error)}); remove it, it is made again") from error
        if index is None:
            raise UserError(f"{self.path}: made from other features than {self.features.folder}; remove it")
        return index

    def make(self) -> Any:
        cells = max(1, int(np.sqrt(len(self.features))))
        library = faiss()
        index = library.index_factory(
            self.features.width, f"IVF{cells},SQfp16" if self.kind == "ivf" else "HNSW32,SQfp16"
        )
        some = epoch_order(len(self.features), 0, 0)[: 40 * cells]
        index.train(self.features.rows(np.sort(some)))
        for numbers in ranges(len(self.features), ROWS):
            index.add(self.features.rows(numbers))
        if self.kind == "ivf":
            index.nprobe = min(16, cells)
        library.write_index(index, str(self.path))
        self.path.with_suffix(".json").write_text(json.dumps(self.facts, indent=1) + "\n")
        return index

    def search(self, queries: np.ndarray, k: int = 6, own: np.ndarray | None = None) -> Neighbours:
        """About the `k` nearest; −1 where fewer were found."""
        check_search(self.features, queries, k, None, own is not None)
        began = time.perf_counter()
        if self.kind == "hnsw":
            self.index.hnsw.efSearch = max(64, 2 * k)
        squares, numbers = self.index.search(np.ascontiguousarray(queries, np.float32), k + 1)
        squares, numbers = drop_self(own, squares, numbers, k)
        return Neighbours(numbers, np.sqrt(np.maximum(squares, 0)).astype(np.float64), time.perf_counter() - began)


def nearest(features: Features, queries: np.ndarray, k: int = 6, index: str = "flat", **options: Any) -> Neighbours:
    """Search with the chosen index: exact by `search`, approximate by `Index`."""
    if index == "flat":
        return search(features, queries, k, **options)
    if options.pop("per_file", None):
        raise UserError("retrieval.per_file: only with retrieval.index=flat")
    return Index(features, index).search(queries, k, **options)
