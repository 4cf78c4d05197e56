"""Read-ahead: later batches are requested from the disk early; batches are unchanged."""

import os
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet_pl.data.loading import read_ahead, streaming
from alexnet_pl.data.loading.read_ahead import BATCHES_AFTER_FAULT, PREFETCHED, with_prefetch
from alexnet_pl.data.loading.streaming import BatchBuffer, stream_batches
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.concat import ConcatSplit
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store

IMAGES, SIDE = 48, 64


@pytest.fixture(params=["raw", "jpeg"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    settings = StoreSettings("small", SIDE, {}, StoreEncoding(request.param), shard=16)
    prepare(synthetic.list_synthetic(IMAGES, 8), tmp_path / "store", settings, partial(synthetic.read_drawn, size=SIDE))
    return tmp_path / "store"


def evict(root: Path) -> None:
    """Evict files from the kernel's cache, which needs no privileges if no process has mapped them."""
    for path in root.glob("train-*"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def in_memory(path: Path, begin: int) -> bool:
    with path.open("rb") as file:
        try:
            return os.preadv(file.fileno(), [bytearray(1)], begin, os.RWF_NOWAIT) == 1
        except BlockingIOError:
            return False
        except OSError as error:
            pytest.skip(f"this file system does not tell what is in memory: {error}")


class CheckedBuffer(BatchBuffer):
    """Buffer that may be filled only when it is new or was released, as pinned memory that a GPU copies from."""

    def __init__(self, batch_size: int, split: Split, device: torch.device) -> None:
        self.device, self.state = device, "released"

    def fill(self, split: Split, indices: np.ndarray) -> None:
        assert self.state == "released"
        self.state, self.number = "filled", torch.from_numpy(indices)

    def transfer(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.state == "filled"
        self.state = "used"
        return self.number, self.number

    def release(self) -> None:
        assert self.state == "used"
        self.state = "released"


def test_buffer_is_filled_again_only_after_its_batch_was_released(root: Path) -> None:
    """On a GPU, a buffer that is filled too early overwrites pinned memory while a copy from it is queued."""
    split, batches = Store(root).split("train"), [np.array([number]) for number in range(30)]
    found = stream_batches(split, batches, 1, torch.device("cpu"), readahead=False, buffer_class=CheckedBuffer)
    assert [int(number) for number, _ in found] == [*range(30)]


def test_prefetched_records_are_read_into_memory(tmp_path: Path) -> None:
    """Tests one record, and that a distant one is not read. Records have 200 kB, more than the kernel reads ahead."""
    settings = StoreSettings("small", 256, {}, shard=64)
    prepare(synthetic.list_synthetic(64, 8), tmp_path / "store", settings, partial(synthetic.read_drawn, size=256))
    path = tmp_path / "store/train-000000.u8"
    evict(tmp_path / "store")
    if in_memory(path, 0):
        pytest.skip("this file system keeps what it is asked to forget")
    split = Store(tmp_path / "store").split("train")
    split.prefetch(np.array([40]))
    assert wait_for(lambda: in_memory(path, 40 * 3 * 256**2) and in_memory(path, 41 * 3 * 256**2 - 1))
    assert not in_memory(path, 10 * 3 * 256**2)


def wait_for(what: "partial[bool] | object") -> bool:
    import time

    until = time.monotonic() + 10
    while time.monotonic() < until:
        if what():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def test_batches_are_the_same_with_and_without_read_ahead(root: Path) -> None:
    split, order = Store(root).split("train"), np.random.default_rng(0).permutation(IMAGES)
    found = []
    for on in (True, False):
        batches = (order[start : start + 4] for start in range(0, IMAGES, 4))
        pairs = stream_batches(split, batches, 4, torch.device("cpu"), readahead=on)
        found.append([(images.clone(), labels) for images, labels in pairs])
    assert len(found[0]) == IMAGES // 4
    for (images, labels), (others, same) in zip(*found, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, same)


def test_concatenated_splits_prefetch_their_own_records(root: Path) -> None:
    store = Store(root)
    joined, asked = ConcatSplit([store.split("train"), store.split("val")]), {}
    for split in joined.splits:
        split.prefetch = lambda indices, name=split.name: asked.update({name: indices.tolist()})  # type: ignore[method-assign]
    joined.prefetch(np.array([IMAGES + 3, 2, 1]))
    assert asked == {"train": [2, 1], "val": [3]}


def test_loaders_of_all_epochs_share_one_stream_per_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch hands out 32 streams in turn; with new ones for each loader, one is soon that of a graph's capture."""
    pool = cycle(range(32))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: (device, next(pool)))
    monkeypatch.setattr(torch.cuda, "Event", lambda blocking: None)
    streaming.loader_stream.cache_clear()
    gpus = torch.device("cuda", 0), torch.device("cuda", 1)
    found = {streaming.BatchBuffer(4, RecordingSplit(), gpu).stream for gpu in gpus * 20}
    streaming.loader_stream.cache_clear()
    assert found == {(gpus[0], 0), (gpus[1], 1)}


class RecordingSplit(Split):
    def __init__(self) -> None:
        self.asked: list[int] = []

    def prefetch(self, indices: np.ndarray) -> None:
        self.asked.append(int(indices[0]))


def batches(count: int) -> Iterator[np.ndarray]:
    yield from (np.array([number]) for number in range(count))


def test_batches_are_prefetched_only_after_a_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, split, given = [0], RecordingSplit(), []
    monkeypatch.setattr(read_ahead, "count_major_faults", lambda: reads[0])
    for batch in with_prefetch(split, batches(400)):
        given.append(int(batch[0]))
        assert len(given) > BATCHES_AFTER_FAULT or split.asked[-1] == given[-1] + PREFETCHED
        reads[0] += len(given) == 200  # this batch had to wait
    assert given == list(range(400))
    begun, again = (
        range(BATCHES_AFTER_FAULT + PREFETCHED),
        range(200 + PREFETCHED, 200 + PREFETCHED + BATCHES_AFTER_FAULT),
    )
    assert split.asked == [*begun, *again]
