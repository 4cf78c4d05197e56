"""Images, draws and mean images to augment, and NumPy's crops of them."""

import numpy as np
import torch

from alexnet_pl.data.loading.augment import Augment, Draws

# SOURCE_FACTS §4: published principal components of ImageNet's colors (0 to 255), one per column, ascending.
STDEVS = np.array([19.721, 37.094, 121.780])
DIRECTIONS = np.array([[0.41796, -0.71258, -0.56351], [-0.81698, -0.02354, -0.57618], [0.39731, 0.70120, -0.59200]])
COVARIANCE = DIRECTIONS @ np.diag(STDEVS**2) @ DIRECTIONS.T
SIZES = [(256, 224), (224, 200), (32, 24)]


def photographs(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def make_augment(
    size: int, crop: int, image: np.ndarray | None = None, covariance: np.ndarray = COVARIANCE, **settings
) -> Augment:
    """Augment with `image` as the mean image, black by default."""
    augment = Augment(size=size, crop=crop, **settings)
    augment.set_statistics(np.zeros((3, size, size)) if image is None else image, covariance)
    return augment


def draws(offsets, flips, noise=None) -> Draws:
    noise = np.zeros((len(flips), 3)) if noise is None else noise
    return Draws(torch.tensor(offsets), torch.tensor(flips), torch.tensor(noise, dtype=torch.float32))


def cut(image: np.ndarray, top: int, left: int, crop: int, flip: bool) -> np.ndarray:
    piece = image[:, top : top + crop, left : left + crop].astype(np.float64)
    return piece[:, :, ::-1] if flip else piece


def uneven_mean(size: int) -> np.ndarray:
    """A mean image that changes under every shift and reflection."""
    return 60 + 100 * np.random.default_rng(9).random((3, size, size))
