"""Plain JPEGs to pixels: on the CPU by libjpeg-turbo, as Pillow does and bit by bit the same; on a GPU by nvJPEG."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from alexnet_pl.errors import UserError, reason

try:
    import simplejpeg  # straight into the memory that waits for an image
except ImportError:  # compiled code, which a machine without a network cannot be asked to have
    simplejpeg = None

LARGEST = 89_478_485  # pixels: Pillow's own guard against files that unpack to fill the memory


def decode_plain(data: bytes) -> tuple[np.ndarray, str] | None:
    """(H, W, 3) uint8 of a JPEG and its colours, YCbCr or Gray.

    None for everything else, where anything is wrong with the file, and without simplejpeg: Pillow is then to judge.
    """
    if simplejpeg is None:
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in ("YCbCr", "Gray") or int(height) * int(width) > LARGEST:
            return None
        return simplejpeg.decode_jpeg(data, "RGB"), space
    except ValueError:
        return None


def decode_into(data: memoryview, row: np.ndarray) -> None:
    """A JPEG to `row`, (H, W, 3) uint8 as large as it. Raises ValueError."""
    if simplejpeg is not None:
        simplejpeg.decode_jpeg(data, "RGB", buffer=row)
        return
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            if picture.size != (row.shape[1], row.shape[0]):
                raise ValueError(f"{picture.size[0]} × {picture.size[1]} pixels")
            row[:] = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise ValueError(reason(error)) from error


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
