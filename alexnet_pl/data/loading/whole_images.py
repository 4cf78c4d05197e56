"""Loader of whole images of any sizes, for dense evaluation (OverFeat §3.3)."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.loading.loaders import EvalLoader
from alexnet_pl.data.loading.read_ahead import read_ahead
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.threads import shared_threads
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.runtime.cores import cores


class WholeBatch(NamedTuple):
    """Images (3, H, W) uint8, each of its own size, and class indices (N,) int64, both on the device."""

    images: list[Tensor]
    labels: Tensor


class WholeImageLoader(EvalLoader):
    """Like `EvalLoader`, but yields images at their stored sizes. A thread reads the next batch in the background."""

    def __iter__(self) -> Iterator[WholeBatch]:  # type: ignore[override]
        starts = range(0, len(self.indices), self.batch_size)
        batches = (self.read(self.indices[start : start + self.batch_size]) for start in starts)
        for images, labels in read_ahead(batches):
            yield WholeBatch([image.to(self.device) for image in images], labels.to(self.device))

    def read(self, numbers: np.ndarray) -> tuple[list[Tensor], Tensor]:
        images = shared_threads(cores(), "decode").map(partial(whole_image, self.split), numbers.tolist())
        return list(images), torch.from_numpy(self.split.labels[numbers])


def whole_image(split: Split, i: int) -> Tensor:
    """Image i of a split, (3, H, W) uint8: the whole image if the store has it, else the square."""
    return split.image(i) if isinstance(split, WholeSplit) else split.images(np.array([i]))[0]


def whole_images(split: Split, numbers: Iterable[int]) -> list[Tensor]:
    return [whole_image(split, int(i)) for i in numbers]
