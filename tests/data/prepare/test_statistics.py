"""Image statistics: exact sums in any order, against Python integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_pl.data.prepare.statistics import IMAGES_PER_FLUSH, RunningStatistics, Sums, add_sums


@pytest.mark.parametrize("size", [1, 7, 64, 256, 257, 300])
@pytest.mark.parametrize("kind", ["white", "noise", "bright"])
def test_products_of_channels_are_exact(size: int, kind: str) -> None:
    """256 rows of white give the largest sums that float32 must hold."""
    rng = np.random.default_rng(size)
    low = {"white": 255, "noise": 0, "bright": 250}[kind]
    image = rng.integers(low, 256, (3, size, size), dtype=np.uint8)
    flat = image.reshape(3, -1).astype(np.int64)
    for same in (image, np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)):
        summing = RunningStatistics(size)
        summing.add(same)
        assert np.array_equal(summing.sums.products, flat @ flat.T)
        assert np.array_equal(summing.sums.pixels, image)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6), st.integers(1, 5))
def test_sums_do_not_depend_on_the_split_into_chunks(seeds: list[int], parts: int) -> None:
    images = [np.random.default_rng(seed).integers(0, 256, (3, 4, 4), dtype=np.uint8) for seed in seeds]
    found = add_sums(summed(images[part::parts]) for part in range(parts))
    flat = np.stack(images).transpose(1, 0, 2, 3).reshape(3, -1).astype(np.int64)
    assert found.images == len(images)
    assert np.array_equal(found.pixels, np.stack(images).sum(0, dtype=np.int64))
    assert np.array_equal(found.products, flat @ flat.T)


def summed(images: list[np.ndarray], size: int = 4) -> Sums:
    summing = RunningStatistics(size)
    for image in images:
        summing.add(image)
    return summing.sums


def test_more_images_than_a_chunk_are_all_counted() -> None:
    white = np.full((3, 2, 2), 255, np.uint8)
    sums = summed([white] * (2 * IMAGES_PER_FLUSH + 3), 2)
    assert sums.pixels.tolist() == np.full((3, 2, 2), 255 * (2 * IMAGES_PER_FLUSH + 3)).tolist()
    assert sums.products[0, 1] == 4 * 255**2 * (2 * IMAGES_PER_FLUSH + 3)
