"""Decode an image file and cut the square of §2: "we first rescaled the image such that the shorter side was of length
256, and then cropped out the central 256 × 256 patch from the resulting image"."""

import io
import math
import zlib
from collections.abc import Sequence

import numpy as np
import simplejpeg
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

from alexnet_pl.errors import UserError, reason

FILTERS = ("bilinear", "bicubic")
GZIP = b"\x1f\x8b"  # one training image of ILSVRC-2010 is a JPEG compressed once more
MAX_ASPECT_RATIO = 16  # sides' ratio above which an image is cropped before it is resized


def decode(data: bytes) -> tuple[torch.Tensor, str]:
    """Any image file → (3, H, W) uint8 RGB, and what was odd about it ("" for a plain RGB JPEG).

    An orientation that a camera noted (EXIF) is ignored, as Pillow ignored it in 2012. Raises ValueError.
    """
    if not data:
        raise ValueError("empty file")
    if data.startswith(GZIP):
        image, note = decode_uncompressed(gunzip(data))
        return image, f"gzip of {note or 'JPEG RGB'}"
    return decode_uncompressed(data)


def gunzip(data: bytes) -> bytes:
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = stream.decompress(data, MAX_PIXELS)
    except zlib.error as error:
        raise ValueError(reason(error)) from error
    if not stream.eof:
        raise ValueError("a gzip that is cut off, or more than any photograph: a decompression bomb?")
    return content


def decode_uncompressed(data: bytes) -> tuple[torch.Tensor, str]:
    return decode_jpeg_tensor(data) or decode_with_pillow(data)


def decode_jpeg_tensor(data: bytes) -> tuple[torch.Tensor, str] | None:
    """Decode a YCbCr or gray JPEG, as nearly all files are, without Pillow's copies."""
    if (decoded := decode_rgb_jpeg(data)) is None:
        return None
    pixels, space = decoded
    return torch.from_numpy(pixels.transpose(2, 0, 1)), "" if space == "YCbCr" else "JPEG L"


def decode_with_pillow(data: bytes) -> tuple[torch.Tensor, str]:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"{width:,} × {height:,} pixels, more than any photograph: a decompression bomb?")
            note = "" if (picture.format, picture.mode) == ("JPEG", "RGB") else f"{picture.format} {picture.mode}"
            return torch.from_numpy(np.array(to_rgb(picture))).permute(2, 0, 1), note
    except UnidentifiedImageError as error:
        raise ValueError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"a decompression bomb? {reason(error)}") from error
    except (OSError, EOFError, zlib.error, SyntaxError, ValueError) as error:
        raise ValueError(reason(error)) from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode → RGB: 16-bit grey scaled to 8, transparency dropped; Pillow clips the one and warns of the other."""
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture, np.float64) * 255 / 65535).round().clip(0, 255).astype(np.uint8))
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def raw_rgb(data: bytes) -> torch.Tensor:
    """Pixels that were never compressed → (3, side, side) uint8."""
    side = math.isqrt(len(data) // 3)
    return torch.from_numpy(np.frombuffer(data, np.uint8).reshape(3, side, side).copy())


def resize_center_crop(image: torch.Tensor, size: int, filter_name: str) -> torch.Tensor:
    """(3, H, W) → (3, size, size): shorter side to `size` pixels, antialiased as Pillow does, then the centre.

    Views are NumPy's: each of PyTorch's would hand the interpreter to another thread and wait to get it back.
    """
    pixels = image.numpy()
    height, width = pixels.shape[1:]
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):  # a thread of pixels need not be made whole
        pixels = crop_center(pixels, min(height, MAX_ASPECT_RATIO * width), min(width, MAX_ASPECT_RATIO * height))
        height, width = pixels.shape[1:]
    short = min(height, width)
    if short != size:
        longer = int(size * max(height, width) / short)
        shape = [size, longer] if height <= width else [longer, size]
        pixels = interpolate(torch.from_numpy(pixels[None]), shape, mode=filter_name, antialias=True).numpy()[0]
    return torch.from_numpy(crop_center(pixels, size, size))


def crop_center(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The central part, rounded as torchvision's `center_crop` does."""
    top, left = (round((length - part) / 2) for length, part in zip(image.shape[1:], (height, width), strict=True))
    return image[:, top : top + height, left : left + width]


MAX_PIXELS = 89_478_485  # pixels: Pillow's own guard against files that unpack to fill the memory


def decode_rgb_jpeg(data: bytes) -> tuple[np.ndarray, str] | None:
    """(H, W, 3) uint8 of a JPEG and its colours, YCbCr or Gray.

    None for everything else and where anything is wrong with the file: Pillow is then to judge.
    """
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in ("YCbCr", "Gray") or int(height) * int(width) > MAX_PIXELS:
            return None
        return simplejpeg.decode_jpeg(data, "RGB"), space
    except ValueError:
        return None


def decode_into(data: memoryview, row: np.ndarray) -> None:
    """A JPEG to `row`, (H, W, 3) uint8 as large as it. Raises ValueError."""
    simplejpeg.decode_jpeg(data, "RGB", buffer=row)


def decode_batch(files: Sequence[memoryview], device: torch.device) -> Tensor:
    """JPEGs of one size to (N, 3, H, W) uint8 on `device`, all in one call. Raises RuntimeError, without saying which.

    nvJPEG repeats the colours of a half resolution where libjpeg-turbo interpolates, so pixels may differ at edges.
    """
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except ImportError as error:  # deprecated since torchvision 0.29
        raise UserError(
            "performance.jpeg_decoder=gpu: this torchvision no longer decodes; install torchvision<0.30"
        ) from error
    images = decode_jpeg([to_byte_tensor(data) for data in files], ImageReadMode.RGB, device)
    assert isinstance(images, list)
    return torch.stack(images)


def to_byte_tensor(data: memoryview) -> Tensor:
    return torch.from_numpy(np.array(np.frombuffer(data, np.uint8)))  # a copy, as a file's own memory is read-only
