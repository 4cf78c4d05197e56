"""Nearest neighbors by features (§7.1; §6.1 of 2012): "two images produce feature activation vectors with a small
Euclidean separation".

The default search is exact. It compares all vectors block by block, so that 1.28 million vectors of 4,096 float16
numbers (10.5 GB on disk) need 0.4 GB of memory, besides the queries. `index=ivf` and `index=hnsw` are approximate and
need all vectors in memory, as float16; docs/tutorials/nearest-images.md says what they save. The authors' program
(findsimilar.py) keeps the nearest image of each of its batch files: `per_file=1000`.
"""

import json
import logging
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.errors import UserError, not_installed, reason
from alexnet_pl.json_records import write_json
from alexnet_pl.progress import track
from alexnet_pl.retrieval.features import Features

ROWS = 16384  # vectors per block; 268 MB as float32 of width 4,096
OVERSAMPLE = 8  # extra candidates, since float32 may order near ties wrongly
INDEXES = ("flat", "ivf", "hnsw")


def import_faiss() -> ModuleType:
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it logs its instruction set
    try:
        import faiss as library
    except ImportError as error:
        raise not_installed("faiss", "retrieval") from error
    return library


class Neighbors(NamedTuple):
    """Nearest images of each query, nearest first."""

    numbers: np.ndarray  # (queries, k) int64, rows of the features searched
    distances: np.ndarray  # (queries, k) float64, Euclidean distance or number of different bits
    seconds: float  # duration of the search

    @property
    def queries_per_second(self) -> float:
        return len(self.numbers) / max(self.seconds, 1e-9)


def search_exactly(
    features: Features,
    queries: np.ndarray,
    k: int = 6,
    per_file: int | None = None,
    own: np.ndarray | None = None,
    rows: int = ROWS,
    show: bool = False,
) -> Neighbors:
    """Find the exact `k` nearest images to each of `queries`, (N, width).

    `per_file`: at most one image of each group of `per_file` images in random order, as the authors' program searches
    its batch files. `own`: (N,) rows of the queries themselves, which are left out. `show`: show the
    progress. Raises UserError for values out of range.
    """
    itself = own is not None
    check_search(features, queries, k, per_file, itself)
    start, in_float32 = time.perf_counter(), np.ascontiguousarray(queries, np.float32)
    candidates = k + OVERSAMPLE + itself
    best, per_group = TopK(len(queries), candidates), 1 + itself if per_file else candidates
    groups = random_groups(len(features), per_file) if per_file else consecutive_groups(len(features), rows)
    count = -(-len(features) // (per_file or rows))
    for numbers in track(groups, "search", count) if show else groups:
        squares, positions = import_faiss().knn(in_float32, features.rows(numbers), min(per_group, len(numbers)))
        found = squares, numbers[positions]
        best.add(*(drop_self(own, *found, 1) if per_file else found))
    _, numbers = drop_self(own, best.squares, best.numbers, k + OVERSAMPLE)
    return Neighbors(*rerank_exactly(features, queries, numbers, k), time.perf_counter() - start)


def check_search(features: Features, queries: np.ndarray, k: int, per_file: int | None, own: bool) -> None:
    if queries.ndim != 2 or queries.shape[1] != features.width:
        raise UserError(f"{features.folder}: vectors of {features.width} numbers; the queries have {queries.shape[1:]}")
    if per_file is not None and per_file < 1:
        raise UserError(f"retrieval.per_file={per_file}: at least 1 image, or null")
    available = (-(-len(features) // per_file) if per_file else len(features)) - own
    if not 0 < k <= available:
        raise UserError(
            f"retrieval.k={k}: from 1 to {available:,} of the {len(features):,} images of {features.folder}"
        )


def consecutive_groups(count: int, rows: int) -> Iterator[np.ndarray]:
    for start in range(0, count, rows):
        yield np.arange(start, min(start + rows, count))


def random_groups(count: int, per_file: int) -> Iterator[np.ndarray]:
    """Yield groups of `per_file` images in random order, like the authors' batch files."""
    order = epoch_order(count, 0, 0)
    for start in range(0, count, per_file):
        yield np.sort(order[start : start + per_file])


class TopK:
    """The `count` smallest squared distances of each query so far; missing ones are infinite, with number −1."""

    def __init__(self, queries: int, count: int) -> None:
        self.squares = np.full((queries, count), np.inf, np.float32)
        self.numbers = np.full((queries, count), -1, np.int64)

    def add(self, squares: np.ndarray, numbers: np.ndarray) -> None:
        squares, numbers = np.hstack([self.squares, squares]), np.hstack([self.numbers, numbers])
        order = np.argsort(squares, 1, kind="stable")[:, : self.squares.shape[1]]
        self.squares, self.numbers = np.take_along_axis(squares, order, 1), np.take_along_axis(numbers, order, 1)


def drop_self(
    query_rows: np.ndarray | None, squares: np.ndarray, numbers: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """First `count` neighbors of each query, without the query itself."""
    if query_rows is not None:
        itself = numbers == query_rows[:, None]
        squares, numbers = np.where(itself, np.inf, squares), np.where(itself, -1, numbers)
        last = np.argsort(itself, 1, kind="stable")  # False before True
        squares, numbers = np.take_along_axis(squares, last, 1), np.take_along_axis(numbers, last, 1)
    return squares[:, :count], numbers[:, :count]


def rerank_exactly(
    features: Features, queries: np.ndarray, numbers: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sort candidates by float64 distances and return the first `k`; ties in the order of the images."""
    nearest_numbers, distances = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), np.inf)
    for i, (query, candidates) in enumerate(zip(queries, numbers, strict=True)):
        candidates = np.sort(candidates[candidates >= 0])
        squares = np.square(features.values[candidates].astype(np.float64) - query.astype(np.float64)).sum(1)
        order = np.argsort(squares, kind="stable")[:k]
        nearest_numbers[i, : len(order)], distances[i, : len(order)] = candidates[order], np.sqrt(squares[order])
    return nearest_numbers, distances


class ApproximateIndex:
    """Approximate faiss index of features, cached beside them.

    `kind`: "ivf", √N cells, the 16 nearest are searched; "hnsw", a graph with 32 neighbors per vector. Vectors
    are stored as float16. Raises UserError for another kind, or a cached index of other features.
    """

    def __init__(self, features: Features, kind: str) -> None:
        if kind not in INDEXES[1:]:
            raise UserError(f"retrieval.index={kind}: one of {', '.join(INDEXES)}")
        self.features, self.kind = features, kind
        self.path = features.folder / f"{kind}.faiss"
        self.metadata = {"kind": kind, **features.identity}
        self.index = self.read() if self.path.is_file() else self.build()

    def read(self) -> Any:
        metadata_path = self.path.with_suffix(".json")
        try:
            saved = json.loads(metadata_path.read_text(encoding="utf-8"))
            index = import_faiss().read_index(str(self.path)) if saved == self.metadata else None
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.path}: corrupt ({reason(error)}); remove it, and it is built again") from error
        if index is None:
            raise UserError(f"{self.path}: made from other features than {self.features.folder}; remove it")
        return index

    def build(self) -> Any:
        cells = max(1, int(np.sqrt(len(self.features))))
        library = import_faiss()
        index = library.index_factory(
            self.features.width, f"IVF{cells},SQfp16" if self.kind == "ivf" else "HNSW32,SQfp16"
        )
        training_rows = epoch_order(len(self.features), 0, 0)[: 40 * cells]
        index.train(self.features.rows(np.sort(training_rows)))
        for numbers in consecutive_groups(len(self.features), ROWS):
            index.add(self.features.rows(numbers))
        if self.kind == "ivf":
            index.nprobe = min(16, cells)
        library.write_index(index, str(self.path))
        write_json(self.path.with_suffix(".json"), self.metadata)
        return index

    def search(self, queries: np.ndarray, k: int = 6, own: np.ndarray | None = None) -> Neighbors:
        """Find approximately the `k` nearest images; −1 if fewer were found."""
        check_search(self.features, queries, k, None, own is not None)
        start = time.perf_counter()
        if self.kind == "hnsw":
            self.index.hnsw.efSearch = max(64, 2 * k)
        squares, numbers = self.index.search(np.ascontiguousarray(queries, np.float32), k + 1)
        squares, numbers = drop_self(own, squares, numbers, k)
        return Neighbors(numbers, np.sqrt(np.maximum(squares, 0)).astype(np.float64), time.perf_counter() - start)


def find_nearest(
    features: Features,
    queries: np.ndarray,
    k: int = 6,
    index: str = "flat",
    opened: dict[str, ApproximateIndex] | None = None,
    **options: Any,
) -> Neighbors:
    """Search with an index: "flat" is exact, "ivf" and "hnsw" are approximate. `opened`: approximate indexes by kind,
    kept for further searches, since one of a million images takes seconds to read."""
    if index == "flat":
        return search_exactly(features, queries, k, **options)
    if options.pop("per_file", None):
        raise UserError("retrieval.per_file: only with retrieval.index=flat")
    opened = {} if opened is None else opened
    if index not in opened:
        opened[index] = ApproximateIndex(features, index)
    return opened[index].search(queries, k, **options)
