"""Mean image (§2) and RGB covariance (§5.1) of the training images, exact, in one pass."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

EXACT = 256  # products of two grey levels whose sum float32 holds exactly: 256 · 255² < 2²⁴
FLUSHED = 1024  # images whose grey levels are summed in float32, which would do for 2²⁴ / 255 of them


class Sums(NamedTuple):
    """How many images, the sum of each pixel, (3, size, size), and of products of channels, (3, 3).

    Of whole images, which have no common size, `pixels` is the sum of each channel, (3, 1, 1), and `area` the number of
    pixels.

    Whole numbers, so that no order of adding changes a bit.
    """

    images: int
    pixels: np.ndarray
    products: np.ndarray
    area: int = 0


class RunningStatistics:
    """`Sums` as images come in. Every intermediate sum is a whole number that its type holds exactly.

    Buffers are kept: allocating them anew for each image would cost more than the sums.
    """

    def __init__(self, size: int) -> None:
        self.images, self.waiting = 0, 0
        self.pixels = torch.zeros((3, size, size), dtype=torch.int64)
        self.products = torch.zeros((size, 3, 3), dtype=torch.float64)
        self.image = torch.empty((3, size, size), dtype=torch.float32 if size <= EXACT else torch.float64)
        self.recent = torch.zeros_like(self.image)  # sums of those that wait
        self.rows = self.image.transpose(0, 1)
        self.columns = self.rows.transpose(1, 2)
        self.mixed = torch.empty((size, 3, 3), dtype=self.image.dtype)

    def add(self, image: np.ndarray) -> None:
        """A (3, size, size) uint8 image."""
        self.recent.add_(self.image.copy_(torch.from_numpy(image)))
        self.products.add_(torch.bmm(self.rows, self.columns, out=self.mixed))  # Σ RGBᵀRGB over each of its rows
        self.images, self.waiting = self.images + 1, self.waiting + 1
        if self.waiting == FLUSHED:
            self.flush()

    def flush(self) -> None:
        self.pixels += self.recent.to(torch.int64)
        self.recent.zero_()
        self.waiting = 0

    @property
    def sums(self) -> Sums:
        self.flush()
        return Sums(self.images, self.pixels.numpy(), self.products.sum(0).to(torch.int64).numpy())


class WholeStatistics:
    """`Sums` of whole images as they come in, exact."""

    def __init__(self) -> None:
        self.images, self.area = 0, 0
        self.pixels, self.products = np.zeros((3, 1, 1), np.int64), np.zeros((3, 3), np.int64)

    def add(self, image: np.ndarray) -> None:
        """A (3, height, width) uint8 image."""
        channels = image.reshape(3, -1).astype(np.float64)  # whole numbers below 2⁵³
        self.pixels += channels.sum(1).astype(np.int64).reshape(3, 1, 1)
        self.products += (channels @ channels.T).astype(np.int64)
        self.images, self.area = self.images + 1, self.area + channels.shape[1]

    @property
    def sums(self) -> Sums:
        return Sums(self.images, self.pixels, self.products, self.area)


def running_statistics(size: int, whole: bool) -> RunningStatistics | WholeStatistics:
    """What sums up squares of `size` pixels, or whole images."""
    return WholeStatistics() if whole else RunningStatistics(size)


def total(parts: Iterable[Sums]) -> Sums:
    images, area, pixels, mixed = 0, 0, np.zeros((3, 1, 1), np.int64), np.zeros((3, 3), np.int64)
    for part in parts:
        if not part.images:
            continue
        images, area = images + part.images, area + part.area
        pixels = pixels + part.pixels
        mixed += part.products
    return Sums(images, pixels, mixed, area)


def save_statistics(root: Path, sums: Sums) -> None:
    """mean.npy, of each pixel or of whole images' channels, and covariance.npy, in float64."""
    pixels = sums.area or sums.images * sums.pixels[0].size
    mean = sums.pixels.reshape(3, -1).sum(1) / pixels
    np.save(root / "mean.npy", sums.pixels / (sums.area or sums.images), allow_pickle=False)
    np.save(root / "covariance.npy", sums.products / pixels - np.outer(mean, mean), allow_pickle=False)
