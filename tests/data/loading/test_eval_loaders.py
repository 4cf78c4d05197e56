"""Evaluation: every image once over all devices, or a part spread evenly over the classes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered_images import CPU, UNREADABLE, counted, epoch_of, flat, label, make_split, numbers_of, training

from alexnet_pl.data.loading.loaders import EvalLoader, spread_over_classes


@given(st.integers(1, 24), st.integers(1, 9), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_each_image_is_tested_once_over_all_devices(split_of, count: int, size: int, world: int) -> None:
    """Lightning's own sampler would repeat images until all devices have equally many."""
    loaders = [EvalLoader(split_of(count), size, CPU, rank, world) for rank in range(world)]
    found = [counted(loader) for loader in loaders]
    numbers = flat(each[0] for each in found)
    assert sorted(numbers) == list(range(count))
    assert flat(each[1] for each in found) == [label(number) for number in numbers]
    assert {loader.total for loader in loaders} == {count}


@given(st.integers(1, 24), st.integers(1, 9), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_limited_images_are_spread_evenly_over_the_classes(split_of, count, size, world, limit) -> None:
    """Image numbers sorted by class are at even steps; all processes together read each once."""
    loaders = [EvalLoader(split_of(count), size, CPU, rank, world, limit=limit) for rank in range(world)]
    numbers = flat(counted(loader)[0] for loader in loaders)
    total = min(count, limit * size * world)
    assert len(numbers) == total
    by_class = sorted(range(count), key=lambda number: (label(number), number))
    places = sorted(by_class.index(number) for number in numbers)
    gaps = np.diff([*places, count])
    assert min(places) == 0
    assert set(gaps) <= {count // total, -(-count // total)}
    assert {loader.total for loader in loaders} == {len(numbers)}
    assert all(len(loader) <= limit for loader in loaders)
    assert all(list(loader.indices) == sorted(loader.indices) for loader in loaders)


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        (np.arange(1000) % 10, 40),  # in turn, as in the demo: every 25th image would be of class 0 or 5
        (np.repeat(np.arange(10), 100), 40),
        (np.random.default_rng(1).permutation(np.arange(1000) % 10), 40),
        (np.arange(1000) % 10, 8),
    ],
)
def test_shortened_validation_sees_each_class_equally_often(labels: np.ndarray, chosen: int) -> None:
    seen = Counter(labels[spread_over_classes(labels, chosen)])
    assert len(seen) == min(chosen, 10)
    assert max(seen.values()) == -(-chosen // 10)


def test_images_of_a_store_sorted_by_class_stay_as_they_were() -> None:
    """Earlier checkpoints were validated on even steps through the split; so are images without labels."""
    for labels in (np.repeat(np.arange(7), [3, 50, 1, 20, 9, 40, 2]), np.full(125, -1)):
        assert list(spread_over_classes(labels, 16)) == [number * 125 // 16 for number in range(16)]


@given(st.integers(1, 24), st.integers(1, 9), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_eval_loader_yields_its_length_in_nonempty_batches(split_of, count, size, world) -> None:
    """Also with more devices than images; Lightning relies on the length."""
    for rank in range(world):
        loader = EvalLoader(split_of(count), size, CPU, rank, world)
        sizes = [len(batch.labels) for batch in loader]
        assert len(sizes) == len(loader)
        assert all(1 <= each <= size for each in sizes)


def test_testing_twice_gives_the_same_images_in_the_same_order(split_of) -> None:
    loader = EvalLoader(split_of(11), 4, CPU)
    assert counted(loader) == counted(loader) == (list(range(11)), [label(number) for number in range(11)])


def test_unreadable_images_are_in_no_batch(tmp_path: Path) -> None:
    """Of ten images, the first, the last and two in a row are unreadable; the others keep their labels."""
    numbers = [UNREADABLE, 1, 2, UNREADABLE, UNREADABLE, 5, 6, 7, 8, UNREADABLE]
    split = make_split(tmp_path / "store", numbers)
    good = [number for number in numbers if number != UNREADABLE]
    assert counted(EvalLoader(split, 4, CPU)) == (good, [label(number) for number in good])
    epoch = epoch_of(training(split, 2))
    assert sorted(numbers_of(epoch)) == good
    assert all(batch[1] == [label(number) for number in batch[0]] for batch in epoch)
