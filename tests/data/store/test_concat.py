"""Concatenated splits: every image and label in its position, in batches and on a device."""

from pathlib import Path

import numpy as np
import pytest
import torch
from running import TRAIN, VAL

from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.loading.loaders import TrainLoader
from alexnet_pl.data.store.concat import ConcatSplit
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store

CPU = torch.device("cpu")


def test_images_of_the_second_split_follow_the_first(tiny_store: Path) -> None:
    train, val = (Store(tiny_store).split(name) for name in ("train", "val"))
    both = ConcatSplit([train, val])
    assert len(both) == TRAIN + VAL
    assert both.names == train.names + val.names
    assert both.bytes == train.bytes + val.bytes
    indices = np.array([TRAIN + VAL - 1, 0, TRAIN, TRAIN - 1, 3, 3])
    out = both.buffer(6).numpy()
    both.read(indices, out)
    everything = np.concatenate(
        [one.to_device(CPU)[0].numpy() for one in (Store(tiny_store).split(name) for name in ("train", "val"))]
    )
    assert np.array_equal(out, everything[indices])
    images, labels = both.to_device(CPU)
    assert np.array_equal(images.numpy(), everything)
    assert np.array_equal(labels.numpy(), both.labels)
    assert both.labels.tolist() == [*train.labels, *val.labels]


def test_device_holds_one_copy_of_both(tiny_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a split fits is decided by its size, so a second copy, even for a moment, may not fit."""
    train, val = (Store(tiny_store).split(name) for name in ("train", "val"))
    train.to_device(CPU)
    plain, allocated = Split.buffer, []

    def counting(self: Split, count: int, device: torch.device | None = None, pinned: bool = False) -> torch.Tensor:
        allocated.append(count if device else 0)
        assert train.on_device is None
        return plain(self, count, device, pinned)

    monkeypatch.setattr(Split, "buffer", counting)
    both = ConcatSplit([train, val])
    assert both.to_device(CPU)[0] is both.to_device(CPU)[0]
    assert sum(allocated) == len(both)


def test_epoch_over_both_has_each_image_once(tiny_store: Path) -> None:
    store = Store(tiny_store)
    both = ConcatSplit([store.split("train"), store.split("val")])
    loader = TrainLoader(both, 34, 0, Augment(72, 67).draw, CPU)
    seen = [image.numpy().tobytes() for batch in loader for image in batch.images]
    wanted = [
        image.tobytes()
        for name in ("train", "val")
        for image in Store(tiny_store).split(name).to_device(CPU)[0].numpy()
    ]
    assert sorted(seen) == sorted(wanted)
