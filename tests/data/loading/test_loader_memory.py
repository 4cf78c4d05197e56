"""Threads, buffers and memory of loaders: nothing is left behind, and no batch is overwritten."""

import itertools
import threading

import numpy as np
import pytest
import torch
from numbered_images import AUGMENT, CPU, counted, epoch_of, training

from alexnet_pl.data.loading import streaming
from alexnet_pl.data.loading.loaders import EvalLoader, TrainLoader
from alexnet_pl.data.loading.streaming import LoaderOptions, batch_pipeline, gather_images


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
