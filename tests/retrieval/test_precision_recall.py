"""Precision-recall curves (§7.1) against a count by hand and a brute-force loop over sorted images."""

from pathlib import Path

import numpy as np
import pytest
from feature_files import make_features, sparse

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.retrieval.precision_recall import Curve, bit_distances, measure_curves, vector_distances


def curve_of(distances: np.ndarray, relevant: np.ndarray) -> Curve:
    return measure_curves(distances, distances.shape[1], {"kind": relevant.__getitem__})["kind"]


def test_hand_built_curve() -> None:
    """Four images at distances 1 to 4. The first query wants the first and the third, the second nothing."""
    distances = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4]])
    curve = curve_of(distances, np.array([[True, False, True, False], [False] * 4]))
    assert curve.ranks == [1, 2, 3, 4]
    assert curve.precision == pytest.approx([100, 50, 66.667, 50])
    assert curve.recall == pytest.approx([50, 50, 100, 100])


def test_curves_match_a_loop_over_sorted_images() -> None:
    chance = np.random.default_rng(3)
    distances, few, many = chance.integers(0, 8, (5, 300)), *(chance.random((5, 300)) < share for share in (0.1, 0.6))
    curves = measure_curves(distances, 300, {"few": few.__getitem__, "many": many.__getitem__})
    tie_order = epoch_order(300, 0, 0).tolist()
    for kind, relevant in (("few", few), ("many", many)):
        curve = curves[kind]
        assert {6, 100} <= {*curve.ranks}
        assert {*np.rint(300 ** (np.arange(40) / 39)).astype(int), 6, 100} == {*curve.ranks}
        for rank, precision, recall in zip(curve.ranks, curve.precision, curve.recall, strict=True):
            found = [
                sum(wanted[i] for i in sorted(tie_order, key=row.__getitem__)[:rank])
                for row, wanted in zip(distances.tolist(), relevant.tolist(), strict=True)
            ]
            shares = [count / wanted.sum() for count, wanted in zip(found, relevant, strict=True)]
            assert precision == pytest.approx(100 * np.mean(found) / rank, abs=1e-3)
            assert recall == pytest.approx(100 * np.mean(shares), abs=1e-3)


def test_no_relevant_image_gives_an_empty_curve() -> None:
    assert curve_of(np.zeros((1, 3)), np.zeros((1, 3), bool)) == Curve([], [], [])


def test_distances_match_pairwise_formulas(tmp_path: Path) -> None:
    features, queries = make_features(tmp_path / "train-fc7", sparse(50, 0)), sparse(4, 1)
    exact = np.square(features.values[None].astype(np.float64) - queries[:, None]).sum(2)
    offset = np.square(queries.astype(np.float64)).sum(1)[:, None]
    np.testing.assert_allclose(np.stack([*vector_distances(features, queries)]) + offset, exact, atol=1e-4)
    many = np.repeat(queries, 60, axis=0)  # more than are compared at a time
    found = np.stack([*vector_distances(features, many)]) + np.repeat(offset, 60, axis=0)
    np.testing.assert_allclose(found, np.repeat(exact, 60, axis=0), atol=1e-4)
    bits, asked = (np.random.default_rng(seed).random((9, 28)) < 0.5 for seed in (1, 2))
    packed, packed_asked = np.packbits(bits, axis=1), np.packbits(asked, axis=1)
    assert np.array_equal(np.stack([*bit_distances(packed, packed_asked)]), (bits[None] != asked[:, None]).sum(2))
