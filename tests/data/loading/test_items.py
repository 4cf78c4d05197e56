"""Batches selected by index: in the order of (seed, epoch), read one ahead, continued after that of a checkpoint."""

import threading

import numpy as np
import pytest

from alexnet_pl.data.loading.items import ItemLoader
from alexnet_pl.data.loading.loaders import epoch_order


class Numbers(ItemLoader):
    """Batches are the numbers of their items. `corrupt`: batch that cannot be read."""

    def __init__(self, training: bool = True, corrupt: int = -1) -> None:
        super().__init__(count=23, batch_size=4, seed=1, training=training)
        self.corrupt, self.reads = corrupt, threading.Semaphore(0)

    def read_batch(self, batch: int, numbers: np.ndarray) -> list[int]:
        self.reads.release()
        if batch == self.corrupt:
            raise ValueError(f"batch {batch}")
        return numbers.tolist()


@pytest.mark.parametrize("training", [True, False])
def test_batches_have_the_items_in_order(training: bool) -> None:
    order = epoch_order(23, 1, 0).tolist() if training else list(range(23))
    assert list(Numbers(training)) == [order[i : i + 4] for i in range(0, 20 if training else 23, 4)]


def test_next_batch_is_read_while_one_is_trained_on() -> None:
    loader = Numbers()
    batches = iter(loader)
    for done in range(1, 6):
        next(batches)
        assert loader.batches_done == done, "the position is that of training, not of reading"
        assert loader.reads.acquire(timeout=60)
    assert next(batches, None) is None
    loader = Numbers()
    batches = iter(loader)  # held, since nothing more is read for a loop that has ended
    next(batches)
    assert loader.reads.acquire(timeout=60)
    assert loader.reads.acquire(timeout=60), "the second batch, for which nobody has asked yet"


def test_resumed_epoch_has_the_remaining_batches() -> None:
    whole, cut, resumed = Numbers(), Numbers(), Numbers()
    wanted = [*whole, *whole]
    batches = iter(cut)
    seen = [next(batches), next(batches)]
    resumed.load_state_dict(cut.state_dict())
    assert [*seen, *resumed, *resumed] == wanted


def test_error_comes_with_its_batch() -> None:
    batches = iter(Numbers(corrupt=2))
    next(batches), next(batches)
    with pytest.raises(ValueError, match="batch 2"):
        next(batches)
