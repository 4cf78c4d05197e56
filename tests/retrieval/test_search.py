"""Nearest neighbors against brute force in float64; options against slow loops; mismatches are named."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from feature_files import IMAGES, WIDTH, make_features, sparse
from search_indexes import measure

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.errors import UserError
from alexnet_pl.retrieval import search
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.search import ApproximateIndex, find_nearest, search_exactly


@pytest.fixture
def images(tmp_path: Path) -> Features:
    return make_features(tmp_path / "train-fc7", sparse(IMAGES, 0))


def brute_force(values: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(queries, images) distances in float64."""
    return np.sqrt(np.square(queries[:, None].astype(np.float64) - values[None].astype(np.float64)).sum(2))


@pytest.mark.parametrize("rows", [7, 299, 10_000])
def test_neighbors_match_brute_force_in_float64(images: Features, rows: int) -> None:
    queries = sparse(50, 1)
    found = search_exactly(images, queries, 6, rows=rows)
    distances = brute_force(images.values, queries)
    order = np.argsort(distances, 1, kind="stable")[:, :6]
    assert np.array_equal(found.numbers, order)
    np.testing.assert_allclose(found.distances, np.take_along_axis(distances, order, 1), rtol=1e-12)
    assert found.queries_per_second == pytest.approx(50 / found.seconds)


@pytest.mark.parametrize(("per_file", "blocks"), [(None, 3), (30, 10)])
def test_progress_of_a_long_search_is_shown(
    images: Features, monkeypatch: pytest.MonkeyPatch, per_file: int | None, blocks: int
) -> None:
    shown = []

    def track(groups: Iterable[np.ndarray], label: str, count: int) -> list[np.ndarray]:
        shown.append((label, count))
        return list(groups)

    monkeypatch.setattr(search, "track", track)
    for show in (True, False):
        find_nearest(images, sparse(2, 1), 6, per_file=per_file, rows=128, show=show)
    assert shown == [("search", blocks)]


def test_near_ties_are_ordered_in_float64(tmp_path: Path) -> None:
    """float32 cannot distinguish these squares; their values are exact in float16."""
    values = np.full((40, WIDTH), 2048.0)
    values[:, 0] += 2 * np.arange(40)[::-1]
    features = make_features(tmp_path / "train-fc7", values)
    found = search_exactly(features, np.full((25, WIDTH), 2048.0), 6)
    assert found.numbers[0].tolist() == [39, 38, 37, 36, 35, 34]
    assert found.distances[0].tolist() == [0, 2, 4, 6, 8, 10]


def test_ties_are_in_store_order(tmp_path: Path) -> None:
    values = np.repeat(sparse(5, 0), 4, 0)
    features = make_features(tmp_path / "train-fc7", values)
    assert search_exactly(features, values[8:9], 4).numbers.tolist() == [[8, 9, 10, 11]]


def test_images_are_excluded_from_their_own_neighbors(images: Features) -> None:
    queries = np.asarray(images.values)
    found = search_exactly(images, queries, 6, own=np.arange(IMAGES), rows=64)
    distances = brute_force(images.values, queries)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(found.numbers, np.argsort(distances, 1, kind="stable")[:, :6])


@pytest.mark.parametrize("itself", [False, True])
def test_as_run_search_keeps_the_nearest_of_each_batch_file(images: Features, itself: bool) -> None:
    """findsimilar.py: the nearest image of each batch file, then the nearest of those."""
    queries = np.asarray(images.values[:20]) if itself else sparse(20, 1)
    found = search_exactly(images, queries, 6, per_file=30, own=np.arange(20) if itself else None)
    distances, order = brute_force(images.values, queries), epoch_order(IMAGES, 0, 0)
    for i, row in enumerate(distances):
        row[i if itself else slice(0)] = np.inf
        best = [min(order[start : start + 30], key=lambda number: row[number]) for start in range(0, IMAGES, 30)]
        assert found.numbers[i].tolist() == sorted(best, key=lambda number: row[number])[:6]


def test_invalid_search_is_refused(images: Features) -> None:
    queries = sparse(2, 1)
    with pytest.raises(UserError, match=r"^retrieval.k=301: from 1 to 300 of the 300 images of "):
        search_exactly(images, queries, 301)
    with pytest.raises(UserError, match=r"^retrieval.k=11: from 1 to 10 of the 300 "):
        search_exactly(images, queries, 11, per_file=30)
    with pytest.raises(UserError, match=r"^retrieval.k=300: from 1 to 299 of the 300 "):
        search_exactly(images, queries, 300, own=np.arange(2))
    with pytest.raises(UserError, match=r"^retrieval.per_file=0: "):
        search_exactly(images, queries, 6, per_file=0)
    with pytest.raises(UserError, match="vectors of 24 numbers"):
        search_exactly(images, queries[:, :5], 6)
    with pytest.raises(UserError, match=r"^retrieval.index=tree: one of flat, ivf, hnsw"):
        find_nearest(images, queries, 6, "tree")
    with pytest.raises(UserError, match=r"^retrieval.per_file: only with retrieval.index=flat"):
        find_nearest(images, queries, 6, "ivf", per_file=30)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_approximate_index_finds_nearly_all_and_is_cached(images: Features, kind: str) -> None:
    queries = np.asarray(images.values[:40])
    exact = search_exactly(images, queries, 6, own=np.arange(40))
    found = find_nearest(images, queries, 6, kind, own=np.arange(40))
    shared = np.mean([len(set(a) & set(b)) / 6 for a, b in zip(found.numbers, exact.numbers, strict=True)])
    assert shared > 0.95
    written = (images.folder / f"{kind}.faiss").stat().st_mtime_ns
    again = find_nearest(images, queries, 6, kind, own=np.arange(40))
    assert np.array_equal(again.numbers, found.numbers)
    assert (images.folder / f"{kind}.faiss").stat().st_mtime_ns == written


def test_script_measures_each_kind_of_index(images: Features) -> None:
    rows = measure(images, np.asarray(images.values[:40]))
    assert [row[0] for row in rows] == ["flat", "ivf", "hnsw"]
    assert all(float(row[1]) > 95 for row in rows)


def test_index_of_other_features_is_refused(images: Features, tmp_path: Path) -> None:
    ApproximateIndex(images, "ivf")
    other = json.loads((images.folder / "about.json").read_text())
    other["checkpoint"]["sha256"] = "b" * 64
    (images.folder / "about.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match=r"ivf\.faiss: made from other features than .*train-fc7; remove it"):
        ApproximateIndex(Features(images.folder), "ivf")


def test_corrupt_index_is_reported(images: Features) -> None:
    ApproximateIndex(images, "ivf")
    path = images.folder / "ivf.faiss"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"ivf\.faiss: corrupt .* remove it"):
        ApproximateIndex(images, "ivf")


def test_missing_faiss_is_named(images: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"^faiss is not installed; pip install -e '.\[retrieval\]'$"):
        search_exactly(images, sparse(2, 1), 6)
