"""Plain JPEGs to pixels: on the CPU by libjpeg-turbo, as Pillow does and bit by bit the same; on a GPU by nvJPEG."""

from collections.abc import Sequence

import numpy as np
import simplejpeg
import torch
from torch import Tensor

from alexnet_pl.errors import UserError

LARGEST = 89_478_485  # pixels: Pillow's own guard against files that unpack to fill the memory


def decode_plain(data: bytes) -> tuple[np.ndarray, str] | None:
    """(H, W, 3) uint8 of a JPEG and its colours, YCbCr or Gray.

    None for everything else and where anything is wrong with the file: Pillow is then to judge.
    """
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in ("YCbCr", "Gray") or int(height) * int(width) > LARGEST:
            return None
        return simplejpeg.decode_jpeg(data, "RGB"), space
    except ValueError:
        return None


def decode_into(data: memoryview, row: np.ndarray) -> None:
    """A JPEG to `row`, (H, W, 3) uint8 as large as it. Raises ValueError."""
    simplejpeg.decode_jpeg(data, "RGB", buffer=row)


def decode_together(files: Sequence[memoryview], device: torch.device) -> Tensor:
    """JPEGs of one size to (N, 3, H, W) uint8 on `device`, all in one call. Raises RuntimeError, without saying which.

    nvJPEG repeats the colours of a half resolution where libjpeg-turbo interpolates, so pixels may differ at edges.
    """
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except ImportError as error:  # deprecated since torchvision 0.29
        raise UserError(
            "performance.jpeg_decoder=gpu: this torchvision no longer decodes; install torchvision<0.30"
        ) from error
    found = decode_jpeg([encoded(data) for data in files], ImageReadMode.RGB, device)
    assert isinstance(found, list)
    return torch.stack(found)


def encoded(data: memoryview) -> Tensor:
    return torch.from_numpy(np.array(np.frombuffer(data, np.uint8)))  # a copy, as a file's own memory is read-only
