"""Sums that no order changes and no rounding touches, against Python's own whole numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_pl.data.statistics import Summing, Sums, products, total


@pytest.mark.parametrize("size", [1, 7, 64, 256, 257, 300])
@pytest.mark.parametrize("kind", ["white", "noise", "bright"])
def test_products_of_channels_are_exact(size: int, kind: str) -> None:
    """256 rows of white are the largest sums that float32 must hold."""
    rng = np.random.default_rng(size)
    low = {"white": 255, "noise": 0, "bright": 250}[kind]
    image = rng.integers(low, 256, (3, size, size), dtype=np.uint8)
    flat = image.reshape(3, -1).astype(np.int64)
    assert np.array_equal(products(image), flat @ flat.T)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6), st.integers(1, 5))
def test_however_the_images_are_shared_out_the_sums_are_the_same(seeds: list[int], parts: int) -> None:
    images = [np.random.default_rng(seed).integers(0, 256, (3, 4, 4), dtype=np.uint8) for seed in seeds]
    found = total((summed(images[part::parts]) for part in range(parts)), 4)
    flat = np.stack(images).transpose(1, 0, 2, 3).reshape(3, -1).astype(np.int64)
    assert found.images == len(images)
    assert np.array_equal(found.pixels, np.stack(images).sum(0, dtype=np.int64))
    assert np.array_equal(found.products, flat @ flat.T)


def summed(images: list[np.ndarray]) -> Sums:
    summing = Summing(4)
    for image in images:
        summing.add(image)
    return summing.sums
