"""Mean image that imported weights were trained with (§3), read from a file or from R,G,B values."""

from pathlib import Path

import numpy as np

from alexnet_pl.errors import UserError, reason
from alexnet_pl.inference.imports.caffe import read_binaryproto, reverse_colors
from alexnet_pl.inference.imports.cuda_convnet import read_batches_meta

NEEDED = {
    "caffe": "mean=imagenet_mean.binaryproto, ilsvrc_2012_mean.npy of Caffe, or three numbers R,G,B",
    "cuda_convnet": "mean=batches.meta of the data that the network was trained on, or three numbers R,G,B",
}


def read_mean(given: str | None, kind: str, size: int) -> np.ndarray:
    """Read the mean image: (3, size, size), RGB, 0 to 255. Raises UserError if it is missing or its size differs."""
    if given is None:
        raise UserError(f"mean: the weights come without their mean image; add {NEEDED[kind]}")
    if numbers := three_numbers(given):
        return fill(np.array(numbers)[:, None, None], size)
    path = Path(given)
    if not path.is_file():
        raise UserError(f"mean={given}: no such file; {NEEDED[kind]}")
    try:
        mean = np.asarray(read_batches_meta(path) if kind == "cuda_convnet" else read_caffe_mean(path), np.float64)
    except (AttributeError, EOFError, OSError, TypeError, ValueError) as error:
        raise UserError(f"mean={given}: not a mean image ({reason(error)}); {NEEDED[kind]}") from error
    if mean.shape != (3, size, size):
        raise UserError(f"mean={given}: {mean.shape[1]} × {mean.shape[2]} pixels, not {size} × {size}")
    if not np.isfinite(mean).all() or mean.min() < 0 or mean.max() > 255:
        raise UserError(f"mean={given}: not pixels from 0 to 255")
    return mean


def read_caffe_mean(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return reverse_colors(np.load(path, allow_pickle=False))
    return read_binaryproto(path)


def fill(colors: np.ndarray, size: int) -> np.ndarray:
    """Expand one color, (3, 1, 1), to an image, (3, size, size)."""
    return np.broadcast_to(colors, (3, size, size))


def three_numbers(given: str) -> list[float] | None:
    try:
        numbers = [float(word) for word in given.strip("[] ").split(",")]
    except ValueError:
        return None
    return numbers if len(numbers) == 3 and all(0 <= number <= 255 for number in numbers) else None
