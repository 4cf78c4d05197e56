"""The mean image that §2 subtracts, and the covariance of RGB that §5.1's colour noise comes from, in one pass."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

EXACT = 256  # products of two grey levels whose sum float32 holds exactly: 256 · 255² < 2²⁴


class Sums(NamedTuple):
    """How many images, the sum of each pixel, (3, size, size), and of products of channels, (3, 3).

    Whole numbers, so that no order of adding changes a bit.
    """

    images: int
    pixels: np.ndarray
    products: np.ndarray


class Summing:
    """`Sums` as images come in; at most 2²³ of them."""

    def __init__(self, size: int) -> None:
        self.images, self.pixels = 0, np.zeros((3, size, size), np.int32)
        self.products = np.zeros((3, 3), np.int64)

    def add(self, image: np.ndarray) -> None:
        """A contiguous (3, size, size) uint8 image."""
        self.images += 1
        np.add(self.pixels, image, out=self.pixels)
        self.products += products(image)

    @property
    def sums(self) -> Sums:
        return Sums(self.images, self.pixels, self.products)


def products(image: np.ndarray) -> np.ndarray:
    """Σ RGBᵀRGB over an image's pixels, (3, 3): row by row, each sum a whole number that its type holds exactly."""
    size = image.shape[-1]
    rows = torch.from_numpy(image).to(torch.float32 if size <= EXACT else torch.float64).transpose(0, 1)
    return torch.bmm(rows, rows.transpose(1, 2)).sum(0, dtype=torch.float64).to(torch.int64).numpy()


def total(parts: Iterable[Sums], size: int) -> Sums:
    images, pixels, mixed = 0, np.zeros((3, size, size), np.int64), np.zeros((3, 3), np.int64)
    for part in parts:
        images += part.images
        pixels += part.pixels
        mixed += part.products
    return Sums(images, pixels, mixed)


def save_statistics(root: Path, sums: Sums) -> None:
    """mean.npy and covariance.npy, in float64."""
    pixels = sums.images * sums.pixels[0].size
    mean = sums.pixels.reshape(3, -1).sum(1) / pixels
    np.save(root / "mean.npy", sums.pixels / sums.images, allow_pickle=False)
    np.save(root / "covariance.npy", sums.products / pixels - np.outer(mean, mean), allow_pickle=False)
