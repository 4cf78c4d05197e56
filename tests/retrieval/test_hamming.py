"""Hamming distances against hand-built cases and counting; PCA codes against numpy's SVD."""

from pathlib import Path

import numpy as np
import pytest
from feature_files import WIDTH, make_features, sparse

from alexnet_pl.errors import UserError
from alexnet_pl.retrieval.hamming import HammingIndex, encode_features, pack_bits, pca_hash, random_projection_hash


def bits(*rows: str) -> np.ndarray:
    return np.array([[digit == "1" for digit in row] for row in rows])


def test_hand_built_case() -> None:
    """Twelve bits, stored in two bytes; distances from the query are 3, 0, 12 and 1."""
    codes = bits("000000000111", "000000000000", "111111111111", "100000000000")
    found = HammingIndex(pack_bits(codes)).search(pack_bits(bits("000000000000")), 4)
    assert found.numbers.tolist() == [[1, 3, 0, 2]]
    assert found.distances.tolist() == [[0, 1, 3, 12]]


def test_bits_are_packed_eight_to_a_byte() -> None:
    assert pack_bits(bits("1000000011", "0111111100")).tolist() == [[128, 192], [127, 0]]
    assert pack_bits(np.zeros((3, 28), bool)).shape == (3, 4)


def test_distances_match_counted_bits() -> None:
    chance = np.random.default_rng(0)
    codes, queries = chance.random((200, 28)) < 0.5, chance.random((20, 28)) < 0.5
    found = HammingIndex(pack_bits(codes)).search(pack_bits(queries), 50)
    counted = (codes[None] != queries[:, None]).sum(2)
    assert np.array_equal(found.distances, np.sort(counted, 1)[:, :50])
    assert np.array_equal(np.take_along_axis(counted, found.numbers, 1), found.distances)


def test_image_is_excluded_from_its_own_neighbors() -> None:
    codes = bits("00000000", "00000001", "00000000", "11111111")
    found = HammingIndex(pack_bits(codes)).search(pack_bits(codes), 2, own=np.arange(4))
    assert [row.tolist() for row in found.numbers[:1]] == [[2, 1]]
    assert all(i not in row for i, row in enumerate(found.numbers))


def test_ties_are_not_broken_by_store_order() -> None:
    """Otherwise short codes would favor the first class, whose images come first."""
    found = HammingIndex(np.zeros((1000, 4), np.uint8)).search(np.zeros((1, 4), np.uint8), 100)
    assert 300 < found.numbers.mean() < 700
    assert len(set(found.numbers[0].tolist())) == 100


def test_more_neighbors_than_images_are_refused() -> None:
    with pytest.raises(UserError, match=r"^retrieval.k=3: from 1 to 2 images"):
        HammingIndex(np.zeros((2, 4), np.uint8)).search(np.zeros((1, 4), np.uint8), 3)


def test_image_has_one_neighbor_less_than_there_are_images() -> None:
    """Its own place is not to be filled: there is no third image for one of three."""
    codes = pack_bits(bits("00000000", "00000001", "11111111"))
    found = HammingIndex(codes).search(codes[:1], 2, own=np.array([0]))
    assert (found.numbers.tolist(), found.distances.tolist()) == ([[1, 2]], [[1, 8]])
    with pytest.raises(UserError, match=r"^retrieval.k=3: from 1 to 2 images"):
        HammingIndex(codes).search(codes[:1], 3, own=np.array([0]))


def test_pca_matches_numpy_up_to_sign(tmp_path: Path) -> None:
    values = sparse(400, 0) * np.linspace(3, 0.2, WIDTH).astype(np.float16)
    features = make_features(tmp_path / "train-fc7", values)
    found = pca_hash(features, 5)(features.rows(slice(None)))
    centered = features.values.astype(np.float64) - features.values.astype(np.float64).mean(0)
    scores = centered @ np.linalg.svd(centered, full_matrices=False)[2][:5].T
    agree = (found == (scores > 0)).mean(0)
    assert np.maximum(agree, 1 - agree).min() > 0.99
    assert np.array_equal(found, pca_hash(features, 5)(features.rows(slice(None))))
    with pytest.raises(UserError, match=r"^codes.bits=25: more than the 24 components"):
        pca_hash(features, 25)


def test_random_projections_preserve_angles(tmp_path: Path) -> None:
    """Charikar: two vectors, relative to the mean image, differ in a bit with probability angle / π."""
    features = make_features(tmp_path / "train-fc7", sparse(100, 0))
    codes = random_projection_hash(features, 20_000, 3)(features.rows(slice(None)))
    centered = features.values.astype(np.float64) - features.values.astype(np.float64).mean(0)
    cosine = centered[0] @ centered[1] / np.linalg.norm(centered[0]) / np.linalg.norm(centered[1])
    assert (codes[0] != codes[1]).mean() == pytest.approx(np.arccos(cosine) / np.pi, abs=0.015)
    assert not np.array_equal(codes[:, :64], random_projection_hash(features, 64, 4)(features.rows(slice(None))))


def test_codes_are_computed_in_blocks(tmp_path: Path) -> None:
    features = make_features(tmp_path / "train-fc7", sparse(100, 0))
    encoder = random_projection_hash(features, 12, 0)
    assert np.array_equal(encode_features(encoder, features, rows=7), pack_bits(encoder(features.rows(slice(None)))))
