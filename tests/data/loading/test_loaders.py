"""Loaders: every image once per epoch, order by seed and epoch, sharding over devices, resuming at any batch."""

import itertools
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_pl.data.loading import streaming
from alexnet_pl.data.loading.augment import Augment, Batch
from alexnet_pl.data.loading.loaders import EvalLoader, TrainLoader, epoch_order
from alexnet_pl.data.loading.streaming import LoaderOptions, batch_pipeline, gather_images
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store

CPU, SIZE = torch.device("cpu"), 4
AUGMENT = Augment(size=SIZE, crop=3)
UNREADABLE = -1


def read(item: ImageRecord) -> tuple[np.ndarray, str]:
    """Image number n has the value n everywhere, so that a batch shows which images it contains."""
    if item.location == UNREADABLE:
        raise ValueError("broken on purpose")
    return np.full((3, SIZE, SIZE), item.location, dtype=np.uint8), ""


def label(number: int) -> int:
    return 7 * number % 10


def make_split(root: Path, numbers: list[int]) -> Split:
    items = [ImageRecord(f"{i}.png", label(number), number) for i, number in enumerate(numbers)]
    classes = [(f"n{i}", f"class {i}") for i in range(10)]
    prepare(DatasetListing(classes, {"train": items}), root, StoreSettings("numbers", SIZE, {}), read)
    return Store(root).split("train")


@pytest.fixture(scope="module")
def split_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Split]:
    """Splits with images 0 to n − 1; each store is made once."""
    made: dict[int, Split] = {}

    def of(count: int) -> Split:
        if count not in made:
            made[count] = make_split(tmp_path_factory.mktemp("store") / "store", list(range(count)))
        return made[count]

    return of


def training(split: Split, batch_size: int, seed: int = 0, **settings) -> TrainLoader:
    return TrainLoader(split, batch_size, seed, AUGMENT.draw, CPU, **settings)


Seen = tuple[list[int], list[int], list[list[int]], list[bool], list[list[float]]]


def seen(batch: Batch) -> Seen:
    """Copy of a batch's numbers, labels and draws, since the loader reuses its buffers."""
    assert batch.draws is not None
    assert (batch.images == batch.images[:, :1, :1, :1]).all(), "an image is a mixture"
    numbers = batch.images[:, 0, 0, 0].tolist()
    return numbers, batch.labels.tolist(), *(part.tolist() for part in batch.draws)


def epoch_of(loader: TrainLoader) -> list[Seen]:
    return [seen(batch) for batch in loader]


def flat(lists: Iterable[list]) -> list:
    return list(itertools.chain.from_iterable(lists))


def numbers_of(epoch: list[Seen]) -> list[int]:
    return flat(batch[0] for batch in epoch)


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


def counted(loader: EvalLoader) -> tuple[list[int], list[int]]:
    """Numbers and labels of the images that count, as many as there are labels."""
    numbers: list[int] = []
    labels: list[int] = []
    for batch in loader:
        assert batch.draws is None
        numbers += batch.images[: len(batch.labels), 0, 0, 0].tolist()
        labels += batch.labels.tolist()
    return numbers, labels


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
def test_limited_images_are_spread_evenly_over_the_split(split_of, count, size, world, limit) -> None:
    """Stores are sorted by class."""
    loaders = [EvalLoader(split_of(count), size, CPU, rank, world, limit=limit) for rank in range(world)]
    numbers = flat(counted(loader)[0] for loader in loaders)
    total = min(count, limit * size * world)
    assert len(numbers) == total
    gaps = np.diff([*sorted(numbers), count])
    assert min(numbers) == 0
    assert set(gaps) <= {count // total, -(-count // total)}
    assert {loader.total for loader in loaders} == {len(numbers)}
    assert all(len(loader) <= limit for loader in loaders)


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


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.parametrize("taken", [0, 1, 3, 12])
def test_abandoned_iterator_leaves_no_thread(split_of, taken: int) -> None:
    before = threads()
    batches = iter(training(split_of(24), 2))
    for _ in range(taken):
        next(batches)
    del batches
    assert threads() <= before

    evaluated = iter(EvalLoader(split_of(24), 2, CPU))
    for _ in range(taken):
        next(evaluated)
    del evaluated
    assert threads() <= before


def test_finished_epoch_leaves_no_thread(split_of) -> None:
    before = threads()
    epoch_of(training(split_of(24), 2))
    counted(EvalLoader(split_of(24), 5, CPU))
    assert threads() <= before


def test_error_in_the_loop_leaves_no_thread(split_of) -> None:
    before = threads()

    def fail() -> None:
        for _ in training(split_of(24), 2):
            raise RuntimeError("out of memory, say")

    with pytest.raises(RuntimeError, match="out of memory"):
        fail()
    assert threads() <= before


def test_error_in_the_reading_thread_is_raised_in_the_loop(split_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails during an epoch ends the run with the disk's error instead of a hang."""
    before, split = threads(), split_of(24)
    readings = itertools.count()
    plain = split.read

    def failing(indices: np.ndarray, out: np.ndarray) -> None:
        if next(readings) == 3:
            raise OSError("the disk is gone")
        plain(indices, out)

    monkeypatch.setattr(split, "read", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        epoch_of(training(split, 2))
    assert threads() <= before


def test_copies_to_mps_wait_for_the_memory_that_is_reused(split_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch copies asynchronously from any memory there, and the loaders have events for CUDA alone."""
    split, asked, device = split_of(8), [], torch.device("mps", 0)

    def copied(tensor: torch.Tensor, to: torch.device, non_blocking: bool = False) -> torch.Tensor:
        asked.append((to, non_blocking))
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "to", copied)
    batches = list(TrainLoader(split, 4, 0, AUGMENT.draw, device))
    assert [len(batch.images) for batch in batches] == [4, 4]
    assert set(asked) == {(device, False)}


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_images_cached_on_a_device_are_gathered_unchanged(size: int, layout: torch.memory_format) -> None:
    """48 bytes are six words of eight bytes; 75 are not a multiple."""
    images = torch.randint(256, (7, 3, size, size), dtype=torch.uint8).contiguous(memory_format=layout)
    chosen = torch.tensor([6, 0, 0, 3])
    assert torch.equal(gather_images(images, chosen), images[chosen])
    assert gather_images(images, chosen).is_contiguous(memory_format=layout)


def test_split_is_cached_on_the_gpu_if_it_fits(split_of, monkeypatch: pytest.MonkeyPatch) -> None:
    split, gpu, free = split_of(24), torch.device("cuda"), [0]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[0], 4 * split.bytes))
    monkeypatch.setattr(streaming, "batches_on_gpu", lambda *_: iter(["kept"]))
    monkeypatch.setattr(streaming, "stream_batches", lambda *_, **__: iter(["read"]))
    epoch, never = (
        batch_pipeline(split, gpu, LoaderOptions(cache_on_gpu=True)),
        batch_pipeline(split, gpu, LoaderOptions(cache_on_gpu=False)),
    )
    found = []
    for free[0] in (2 * split.bytes, 2 * split.bytes + 1):
        found += [*epoch(split, [], 4, gpu), *never(split, [], 4, gpu)]
    assert found == ["read", "read", "kept", "read"], "a fourth of the memory is the network's"


def test_images_that_the_gpu_decodes_are_never_cached(split_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache would be filled by the CPU's decoder, whose pixels differ, in some epochs only."""
    split, gpu = split_of(24), torch.device("cuda")
    monkeypatch.setattr(type(split), "is_jpeg", True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100 * split.bytes, 100 * split.bytes))
    monkeypatch.setattr(streaming, "stream_batches", lambda *_, **__: iter(["read"]))
    epoch = batch_pipeline(split, gpu, LoaderOptions(cache_on_gpu=True, jpeg_decoder="gpu"))
    assert list(epoch(split, [], 4, gpu)) == ["read"]
