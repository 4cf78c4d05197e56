"""Mean image (§3) and RGB covariance (§5.1) of the training images, computed exactly in one pass."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

EXACT_FLOAT32_SIZE = 256  # largest row whose sum of products is exact in float32: 256 · 255² < 2²⁴
IMAGES_PER_FLUSH = 1024  # images summed in float32 before adding to int64; exact up to 2²⁴ / 255


class Sums(NamedTuple):
    """Number of images, sum of each pixel, (3, size, size), and sums of products of channels, (3, 3).

    For whole images, which have no common size, `pixels` is the sum of each channel, (3, 1, 1), and `area` the number
    of pixels.

    All are integers, so the order of addition does not matter.
    """

    images: int
    pixels: np.ndarray
    products: np.ndarray
    area: int = 0


class RunningStatistics:
    """Accumulator of `Sums`. All intermediate sums are integers that their types hold exactly.

    Buffers are reused, since allocation would cost more than the sums.
    """

    def __init__(self, size: int) -> None:
        self.images, self.unflushed = 0, 0
        self.pixels = torch.zeros((3, size, size), dtype=torch.int64)
        self.products = torch.zeros((size, 3, 3), dtype=torch.float64)
        self.image = torch.empty((3, size, size), dtype=torch.float32 if size <= EXACT_FLOAT32_SIZE else torch.float64)
        self.recent = torch.zeros_like(self.image)  # sums since the last flush
        self.rows = self.image.transpose(0, 1)
        self.columns = self.rows.transpose(1, 2)
        self.row_products = torch.empty((size, 3, 3), dtype=self.image.dtype)

    def add(self, image: np.ndarray) -> None:
        """Add a (3, size, size) uint8 image."""
        self.recent.add_(self.image.copy_(torch.from_numpy(image)))
        self.products.add_(torch.bmm(self.rows, self.columns, out=self.row_products))  # Σ RGBᵀRGB over each row
        self.images, self.unflushed = self.images + 1, self.unflushed + 1
        if self.unflushed == IMAGES_PER_FLUSH:
            self.flush()

    def flush(self) -> None:
        self.pixels += self.recent.to(torch.int64)
        self.recent.zero_()
        self.unflushed = 0

    @property
    def sums(self) -> Sums:
        self.flush()
        return Sums(self.images, self.pixels.numpy(), self.products.sum(0).to(torch.int64).numpy())


class WholeStatistics:
    """Accumulator of `Sums` of whole images, exact."""

    def __init__(self) -> None:
        self.images, self.area = 0, 0
        self.pixels, self.products = np.zeros((3, 1, 1), np.int64), np.zeros((3, 3), np.int64)

    def add(self, image: np.ndarray) -> None:
        """Add a (3, height, width) uint8 image."""
        channels = image.reshape(3, -1).astype(np.float64)  # whole numbers below 2⁵³
        self.pixels += channels.sum(1).astype(np.int64).reshape(3, 1, 1)
        self.products += (channels @ channels.T).astype(np.int64)
        self.images, self.area = self.images + 1, self.area + channels.shape[1]

    @property
    def sums(self) -> Sums:
        return Sums(self.images, self.pixels, self.products, self.area)


def running_statistics(size: int, whole: bool) -> RunningStatistics | WholeStatistics:
    """Accumulator for images of `size` × `size` pixels, or for whole images."""
    return WholeStatistics() if whole else RunningStatistics(size)


def add_sums(parts: Iterable[Sums]) -> Sums:
    images, area, pixels, products = 0, 0, np.zeros((3, 1, 1), np.int64), np.zeros((3, 3), np.int64)
    for part in parts:
        if not part.images:
            continue
        images, area = images + part.images, area + part.area
        pixels = pixels + part.pixels
        products += part.products
    return Sums(images, pixels, products, area)


def save_statistics(root: Path, sums: Sums) -> None:
    """Write mean.npy (per pixel, or per channel for whole images) and covariance.npy, both float64."""
    pixels = sums.area or sums.images * sums.pixels[0].size
    mean = sums.pixels.reshape(3, -1).sum(1) / pixels
    np.save(root / "mean.npy", sums.pixels / (sums.area or sums.images), allow_pickle=False)
    np.save(root / "covariance.npy", sums.products / pixels - np.outer(mean, mean), allow_pickle=False)


def save_no_statistics(root: Path, size: int) -> None:
    """Write zeros, which nothing reads, as the statistics of a test-only store without training images."""
    np.save(root / "mean.npy", np.zeros((3, size, size)), allow_pickle=False)
    np.save(root / "covariance.npy", np.zeros((3, 3)), allow_pickle=False)
