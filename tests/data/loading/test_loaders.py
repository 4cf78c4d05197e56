"""Training loaders: each image once per epoch, order by seed and epoch, shares of devices, resuming at any batch."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered_images import AUGMENT, SIZE, Seen, epoch_of, flat, label, numbers_of, seen, training

from alexnet_pl.data.loading.augment import Augment, Batch
from alexnet_pl.data.loading.loaders import TrainLoader, epoch_order


def test_training_batch_has_images_labels_and_draws_of_its_position(split_of) -> None:
    for i, batch in enumerate(training(split_of(23), 5, seed=3)):
        numbers, labels, *drawn = seen(batch)
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape == (5, 3, SIZE, SIZE)
        assert batch.labels.dtype == torch.int64
        assert labels == [label(number) for number in numbers]
        assert drawn == [part.tolist() for part in AUGMENT.draw(3, 0, i, 5)]


@given(st.integers(1, 24), st.integers(1, 9), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_epoch_is_a_prefix_of_a_permutation_in_full_batches(split_of, count, size, seed) -> None:
    """No image is used twice; the rest of an epoch is dropped. A split smaller than a batch is repeated."""
    loader = training(split_of(count), size, seed)
    for _ in range(2):
        epoch = epoch_of(loader)
        assert len(epoch) == len(loader) == max(1, count // size)
        assert {len(batch[0]) for batch in epoch} == {size}
        numbers = numbers_of(epoch)
        assert len(set(numbers)) == min(count, len(numbers))
        assert set(numbers) <= set(range(count))


def test_every_image_is_left_out_equally_often() -> None:
    """Of eight images in batches of three, two are left out: over many epochs, each equally often."""
    left_out = [frozenset(epoch_order(8, 0, epoch)[6:].tolist()) for epoch in range(200)]
    counts = np.bincount([number for pair in left_out for number in pair], minlength=8)
    assert np.abs(counts - 50).max() < 5 * (200 * 0.25 * 0.75) ** 0.5
    first = np.bincount([epoch_order(8, seed, 0)[0] for seed in range(200)], minlength=8)
    assert np.abs(first - 25).max() < 5 * (200 * 0.125 * 0.875) ** 0.5


def test_order_and_draws_are_those_of_earlier_versions() -> None:
    """A fit that another version, or another numpy, continues sees the rest of its epoch, not other images."""
    assert epoch_order(8, 3, 5).tolist() == [2, 1, 0, 5, 4, 6, 3, 7]
    draws = Augment(size=40, crop=32).draw(seed=3, epoch=5, batch=7, count=3)
    assert draws.offsets.tolist() == [[4, 4], [3, 8], [6, 6]]
    assert draws.flips.tolist() == [False, True, False]
    assert draws.noise[:, 0].tolist() == pytest.approx([-1.1708789, 0.7599638, 0.2994175], abs=1e-6)


def test_order_and_draws_depend_on_seed_and_epoch(split_of) -> None:
    runs = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        loader = training(split_of(24), 4, seed)
        runs[name] = [epoch_of(loader) for _ in range(3)]
    assert runs["one"] == runs["again"]
    epochs = [*runs["one"], *runs["other"]]
    assert all(sorted(numbers_of(epoch)) == list(range(24)) for epoch in epochs)
    for a, b in itertools.combinations(epochs, 2):
        assert numbers_of(a) != numbers_of(b)
        assert [batch[2:] for batch in a] != [batch[2:] for batch in b]


def test_once_gives_the_same_minibatches_each_epoch_with_new_draws(split_of) -> None:
    """The order is that of the first epoch of `epoch`, so the two differ from the second on; so are the images left
    out. Another seed has another order."""
    each, once, other = training(split_of(23), 5), training(split_of(23), 5, shuffle="once"), None
    first, *later = [epoch_of(once) for _ in range(4)]
    assert first == epoch_of(each)
    for epoch in later:
        assert [batch[:2] for batch in epoch] == [batch[:2] for batch in first]
    assert len({json.dumps([batch[2:] for batch in epoch]) for epoch in (first, *later)}) == 4
    assert numbers_of(later[0]) != numbers_of(epoch_of(each))
    other = epoch_of(training(split_of(23), 5, seed=1, shuffle="once"))
    assert numbers_of(other) != numbers_of(first)


@pytest.mark.parametrize("shuffle", ["epoch", "once"])
@pytest.mark.parametrize("world", [1, 2, 3, 5, 8])
def test_shards_of_all_devices_form_the_single_device_batch(split_of, world: int, shuffle: str) -> None:
    """In the order of ranks, including draws, also if the size does not divide evenly: the run is the same."""
    whole = training(split_of(24), 8, seed=2, shuffle=shuffle)
    ranks = [training(split_of(24), 8, seed=2, rank=rank, world=world, shuffle=shuffle) for rank in range(world)]
    for _ in range(2):
        wanted = epoch_of(whole)
        shares = [epoch_of(loader) for loader in ranks]
        assert [len(share) for share in shares] == [len(wanted)] * world
        for i, batch in enumerate(wanted):
            joined = tuple(flat(share[i][part] for share in shares) for part in range(5))
            assert joined == batch


def test_limit_takes_the_first_batches_of_each_epoch(split_of) -> None:
    whole, limited = training(split_of(24), 4), training(split_of(24), 4, limit=2)
    for _ in range(3):
        assert epoch_of(limited) == epoch_of(whole)[:2]
    assert len(training(split_of(24), 4, limit=100)) == 6


def state_after(loader: TrainLoader, batches: int) -> tuple[list[Seen], dict]:
    """(batches of that many steps over several epochs, loader state after the last one, converted to JSON and back)."""
    found: list[Seen] = []
    while len(found) < batches:
        for batch in loader:
            found.append(seen(batch))
            if len(found) == batches:
                break
    return found, json.loads(json.dumps(loader.state_dict()))


@pytest.mark.parametrize("shuffle", ["epoch", "once"])
@pytest.mark.parametrize("done", range(13))
def test_loaded_state_continues_with_the_remaining_batches(split_of, done: int, shuffle: str) -> None:
    """Three epochs of four batches, interrupted after each batch; compares draws too, for two more epochs."""
    whole, _ = state_after(training(split_of(14), 3, seed=5, shuffle=shuffle), 20)
    first, state = state_after(training(split_of(14), 3, seed=5, shuffle=shuffle), done)
    assert first == whole[:done]
    resumed = training(split_of(14), 3, seed=5, shuffle=shuffle)
    resumed.load_state_dict(state)
    rest = epoch_of(resumed)
    assert len(rest) == 4 - done % 4
    assert first + rest == whole[: done + len(rest)]
    assert first + rest + epoch_of(resumed) == whole[: done + len(rest) + 4]


@given(st.integers(2, 24), st.integers(1, 5), st.integers(0, 100), st.data())
@settings(max_examples=30, deadline=None)
def test_run_resumed_twice_sees_the_same_batches(split_of, count, size, seed, data) -> None:
    size = min(size, count)
    cuts = data.draw(st.tuples(st.integers(0, 12), st.integers(0, 12)))
    whole, _ = state_after(training(split_of(count), size, seed), sum(cuts) + 1)
    found, state = [], training(split_of(count), size, seed).state_dict()
    for batches in (*cuts, 1):
        loader = training(split_of(count), size, seed)
        loader.load_state_dict(state)
        more, state = state_after(loader, batches)
        found += more
    assert found == whole


def test_batch_is_unchanged_while_the_next_one_is_yielded(split_of) -> None:
    """On the CPU, `stream` promises not to reuse a buffer, which is not copied, before the next batch is yielded."""
    before: tuple[Batch, Seen] | None = None
    for batch in training(split_of(24), 2):
        if before is not None:
            assert seen(before[0]) == before[1]
        before = batch, seen(batch)
    assert before is not None
    assert seen(before[0]) == before[1]
