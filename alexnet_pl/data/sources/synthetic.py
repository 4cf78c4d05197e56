"""Synthetic images of ten classes, to try the package without ImageNet; they reproduce no result of the paper.

The classes differ in the orientation, frequency, color or outline of a pattern, so that 11×11 kernels trained on them
become oriented edges and color blobs as in Figure 3. The pattern lies over noise with the 1/f amplitude spectrum of
natural images. Reflecting an image does not change its class, and patterns stay near the middle, so that the random
crops and reflections of §5.1 keep the label true.

Coordinates: x runs right and y down, both from −1 to 1 at any size; x has shape (1, size) and y (size, 1).
"""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.random import Generator, Philox

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord

Pattern = tuple[np.ndarray, np.ndarray]  # blend of two colors in [-1, 1] and opacity in [0, 1], both (size, size)
RED, YELLOW, GREEN, BLUE = 0.0, math.pi / 3, 2 * math.pi / 3, 4 * math.pi / 3
UPRIGHT, SLANTED, LEVEL = 0.0, math.pi / 4, math.pi / 2


@lru_cache(maxsize=8)
def pixel_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of pixel centers: a row x and a column y, for broadcasting."""
    centers = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    return centers[None, :], centers[:, None]


@lru_cache(maxsize=8)
def inverse_frequency(size: int) -> np.ndarray:
    """Filter 1/f for a real 2-D transform, (size, size // 2 + 1), that keeps the variance of white noise."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    f[0, 0] = np.inf  # zero mean: brightness is drawn separately
    gain = 1 / f / np.sqrt(np.mean(f**-2))
    return gain[:, : size // 2 + 1].astype(np.float32)


def natural_noise(rng: Generator, size: int) -> np.ndarray:
    """Noise of three independent planes (3, size, size): zero mean, unit variance, 1/f amplitude spectrum."""
    white = rng.standard_normal((3, size, size), dtype=np.float32)
    return np.fft.irfft2(np.fft.rfft2(white) * inverse_frequency(size), s=(size, size))


def make_color(lightness: float, saturation: float, hue: float) -> np.ndarray:
    """RGB color of shape (3, 1, 1); red, green and blue are a third of the hue circle apart."""
    rgb = [lightness + saturation * math.cos(hue - primary) for primary in (RED, GREEN, BLUE)]
    return np.array(rgb, dtype=np.float32)[:, None, None]


def draw_background(rng: Generator, size: int) -> np.ndarray:
    """Draw colored noise (3, size, size) around mid-gray; as in photographs, hue varies less than lightness."""
    mean = make_color(rng.uniform(0.35, 0.6), rng.uniform(0, 0.12), rng.uniform(0, 2 * math.pi))
    contrast = rng.uniform([0.06, 0.01, 0.01], [0.16, 0.04, 0.03]).astype(np.float32)
    light, red_green, blue_yellow = natural_noise(rng, size) * contrast[:, None, None]
    return mean + np.stack([light + red_green + blue_yellow, light - red_green + blue_yellow, light - 2 * blue_yellow])


def pick_two_colors(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pick a dark and a light color of random hues, for classes that color does not distinguish."""
    dark = make_color(rng.uniform(0.05, 0.3), rng.uniform(0, 0.25), rng.uniform(0, 2 * math.pi))
    light = make_color(rng.uniform(0.65, 0.95), rng.uniform(0, 0.3), rng.uniform(0, 2 * math.pi))
    return dark, light


def pick_opponent_colors(rng: Generator, *, hues: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Pick two colors near the given hues; their lightness overlaps, so that gray values do not separate them."""
    first, second = (
        make_color(rng.uniform(0.3, 0.65), rng.uniform(0.2, 0.45), hue + rng.uniform(-0.25, 0.25)) for hue in hues
    )
    return first, second


def rotate_coordinate(x: np.ndarray, y: np.ndarray, angle: float) -> np.ndarray:
    """Coordinate of every pixel along the direction `angle`."""
    return math.cos(angle) * x + math.sin(angle) * y


def draw_stripes(rng: Generator, coordinate: np.ndarray, cycles: float) -> np.ndarray:
    """Draw stripes in [−1, 1] along a (size, size) coordinate, from sinusoidal to nearly square.

    `cycles`: number of cycles in 128 pixels at any size, since stripes finer than conv1's stride would be lost.
    """
    cycles_in_image = cycles * coordinate.shape[-1] / 128
    sine = np.sin(math.pi * cycles_in_image * coordinate + rng.uniform(0, 2 * math.pi))
    sharpness = rng.uniform(0.5, 3)
    return np.tanh(sharpness * sine) / math.tanh(sharpness)


def draw_sign(rng: Generator) -> int:
    """Draw −1 or 1 with equal probability."""
    return 2 * int(rng.integers(2)) - 1


def draw_frequency(rng: Generator, low: float, high: float) -> float:
    """Draw a frequency, uniform in octaves."""
    return low * (high / low) ** rng.uniform()


def soft_ellipse(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Opacity of a soft-edged ellipse that covers the image wholly or in part."""
    dx = (x - rng.uniform(-0.35, 0.35)) / rng.uniform(0.4, 1.1)
    dy = (y - rng.uniform(-0.35, 0.35)) / rng.uniform(0.4, 1.1)
    return np.clip(2.5 - 2 * (dx**2 + dy**2), 0, 1)


def grating(rng: Generator, x: np.ndarray, y: np.ndarray, *, angle: float, band: tuple[float, float]) -> Pattern:
    """Patch of parallel stripes at ±angle with equal probability, since reflection must not change the class."""
    lean = draw_sign(rng) * (angle + rng.uniform(-0.2, 0.2))
    return draw_stripes(rng, rotate_coordinate(x, y, lean), draw_frequency(rng, *band)), soft_ellipse(rng, x, y)


def checks(rng: Generator, x: np.ndarray, y: np.ndarray) -> Pattern:
    """Patch of a checkerboard at any rotation."""
    angle, cycles = rng.uniform(0, math.pi), draw_frequency(rng, 4, 14)
    board = draw_stripes(rng, rotate_coordinate(x, y, angle), cycles) * draw_stripes(
        rng, rotate_coordinate(x, y, angle + math.pi / 2), cycles
    )
    return board, soft_ellipse(rng, x, y)


def bullseye(rng: Generator, x: np.ndarray, y: np.ndarray) -> Pattern:
    """Round patch of concentric rings: stripes of all orientations."""
    radius = np.hypot(x - rng.uniform(-0.4, 0.4), y - rng.uniform(-0.4, 0.4))
    return draw_stripes(rng, radius, draw_frequency(rng, 5, 20)), np.clip(6 * (rng.uniform(0.5, 1) - radius), 0, 1)


def blobs(rng: Generator, x: np.ndarray, y: np.ndarray) -> Pattern:
    """Six to twelve Gaussian blobs in alternating colors."""
    count = int(rng.integers(6, 13))
    radius, cx, cy = rng.uniform([[0.08], [-0.8], [-0.8]], [[0.22], [0.8], [0.8]], (3, count)).astype(np.float32)
    across = np.exp(-(((x.T - cx) / radius) ** 2))
    down = np.exp(-(((y - cy) / radius) ** 2))
    signs = np.resize(np.array([-1, 1], dtype=np.float32), count)
    total = down @ across.T + 1e-6  # the small term keeps the ratio finite far from every blob
    return (down * signs) @ across.T / total, np.clip(2 * total, 0, 1)


def triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance, positive outside, to an equilateral triangle with corners at 1.1."""
    slanted = math.sqrt(3) / 2 * np.abs(u)
    return np.maximum(slanted - v / 2, v) - 0.55


def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance, positive outside, to two crossed bars that reach to 1."""
    u, v = np.abs(u), np.abs(v)
    return np.maximum(np.minimum(u, v) - 0.17, np.maximum(u, v) - 1)


def shapes(rng: Generator, x: np.ndarray, y: np.ndarray, *, outline: Callable) -> Pattern:
    """One or two striped copies of an outline, each at a random position, scale and rotation."""
    opacity = np.zeros((y.size, x.size), dtype=np.float32)
    for _ in range(int(rng.integers(1, 3))):
        scale, turn = rng.uniform(0.4, 0.7), rng.uniform(0, 2 * math.pi)
        dx, dy = (x - rng.uniform(-0.45, 0.45)) / scale, (y - rng.uniform(-0.45, 0.45)) / scale
        distance = outline(rotate_coordinate(dx, dy, turn), rotate_coordinate(dx, dy, turn + math.pi / 2))
        pixels = x.size * scale / 2  # per unit of distance; edges fade over one pixel to avoid jagged outlines
        opacity = np.maximum(opacity, np.clip(0.5 - distance * pixels, 0, 1))
    stripes = draw_stripes(rng, rotate_coordinate(x, y, rng.uniform(0, math.pi)), draw_frequency(rng, 4, 20))
    contrast = rng.uniform(0, 0.3)
    return contrast * stripes + draw_sign(rng) * (1 - contrast), opacity


TRAIN, VAL = 4000, 1000

PATTERNS: dict[str, tuple[Callable, Callable]] = {
    "upright grating": (partial(grating, angle=UPRIGHT, band=(5, 24)), pick_two_colors),
    "level grating": (partial(grating, angle=LEVEL, band=(5, 24)), pick_two_colors),
    "fine slanted grating": (partial(grating, angle=SLANTED, band=(14, 24)), pick_two_colors),
    "coarse slanted grating": (partial(grating, angle=SLANTED, band=(4, 9)), pick_two_colors),
    "checkerboard": (checks, pick_two_colors),
    "red-green blobs": (blobs, partial(pick_opponent_colors, hues=(RED, GREEN))),
    "blue-yellow blobs": (blobs, partial(pick_opponent_colors, hues=(BLUE, YELLOW))),
    "bullseyes": (bullseye, pick_two_colors),
    "triangles": (partial(shapes, outline=triangle), pick_two_colors),
    "crosses": (partial(shapes, outline=cross), pick_two_colors),
}
CLASSES = tuple((f"d{label:02d}", name) for label, name in enumerate(PATTERNS))


def illumination(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Illumination factor (size, size) of random strength that falls off to one side."""
    direction, falloff = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.4)
    return rng.uniform(0.75, 1.25) * (1 + falloff * rotate_coordinate(x, y, direction))


def draw_image(index: int, size: int = 128, seed: int = 0) -> tuple[np.ndarray, int]:
    """Draw image `index`: (3, size, size) uint8 RGB and its class index, a function of (seed, index, size).

    Classes take turns, so any ten consecutive indices contain each class once. Noise is drawn from the generator last,
    so that layout and colors do not depend on the size.
    """
    rng = Generator(Philox(key=[seed, index]))
    label = index % len(CLASSES)
    pattern, palette = PATTERNS[CLASSES[label][1]]
    x, y = pixel_grid(size)
    blend, opacity = pattern(rng, x, y)
    first, second = palette(rng)
    paint = (first + second) / 2 + (second - first) / 2 * blend
    opacity, light = rng.uniform(0.6, 1) * opacity, illumination(rng, x, y)
    background = draw_background(rng, size)
    image = background + opacity * (paint - background)
    return np.clip(255 * light * image, 0, 255).astype(np.uint8), label


def list_synthetic(train: int = TRAIN, val: int = VAL) -> DatasetListing:
    """Listing for `prepare`: the first `train` indices as training images, the next `val` as validation images."""
    numbers = {"train": range(train), "val": range(train, train + val)}
    splits = {
        split: [
            ImageRecord(f"{split}/{i:06d}", i % len(CLASSES), ByteLocation(Path("drawn"), start=i)) for i in indices
        ]
        for split, indices in numbers.items()
    }
    return DatasetListing(list(CLASSES), splits, expected={split: len(indices) for split, indices in numbers.items()})


def read_drawn(item: ImageRecord, size: int) -> tuple[np.ndarray, str]:
    """Draw the image of a record: (3, size, size) uint8 RGB, with an empty note."""
    return draw_image(item.location.start, size)[0], ""
