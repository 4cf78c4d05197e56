"""From an image file's bytes to §2's square: "we first rescaled the image such that the shorter side was of length
256, and then cropped out the central 256 × 256 patch from the resulting image"."""

import io
import math
import zlib

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch.nn.functional import interpolate

from alexnet_pl.data.source import Item
from alexnet_pl.data.turbo import LARGEST, decode_plain
from alexnet_pl.errors import UserError, reason

FILTERS = ("bilinear", "bicubic")
GZIP = b"\x1f\x8b"  # one training image of ILSVRC-2010 is a JPEG compressed once more
THIN = 16  # sides' ratio above which an image is cropped before it is resized


def decode(data: bytes) -> tuple[torch.Tensor, str]:
    """Any image file → (3, H, W) uint8 RGB, and what was odd about it ("" for a plain RGB JPEG).

    An orientation that a camera noted (EXIF) is ignored, as Pillow ignored it in 2012. Raises ValueError.
    """
    if not data:
        raise ValueError("empty file")
    if data.startswith(GZIP):
        image, odd = decode_image(gunzip(data))
        return image, f"gzip of {odd or 'JPEG RGB'}"
    return decode_image(data)


def gunzip(data: bytes) -> bytes:
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        inside = stream.decompress(data, LARGEST)
    except zlib.error as error:
        raise ValueError(reason(error)) from error
    if not stream.eof:
        raise ValueError("a gzip that is cut off, or more than any photograph: a decompression bomb?")
    return inside


def decode_image(data: bytes) -> tuple[torch.Tensor, str]:
    return decode_plain_jpeg(data) or decode_any(data)


def decode_plain_jpeg(data: bytes) -> tuple[torch.Tensor, str] | None:
    """What nearly all files are, without Pillow's copies."""
    if (found := decode_plain(data)) is None:
        return None
    pixels, space = found
    return torch.from_numpy(pixels.transpose(2, 0, 1)), "" if space == "YCbCr" else "JPEG L"


def decode_any(data: bytes) -> tuple[torch.Tensor, str]:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            if width * height > LARGEST:
                raise ValueError(f"{width:,} × {height:,} pixels, more than any photograph: a decompression bomb?")
            odd = "" if (picture.format, picture.mode) == ("JPEG", "RGB") else f"{picture.format} {picture.mode}"
            return torch.from_numpy(np.array(rgb(picture))).permute(2, 0, 1), odd
    except UnidentifiedImageError as error:
        raise ValueError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"a decompression bomb? {reason(error)}") from error
    except (OSError, EOFError, zlib.error, SyntaxError, ValueError) as error:
        raise ValueError(reason(error)) from error


def rgb(picture: Image.Image) -> Image.Image:
    """Any mode → RGB: 16-bit grey scaled to 8, transparency dropped; Pillow clips the one and warns of the other."""
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture, np.float64) * 255 / 65535).round().clip(0, 255).astype(np.uint8))
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def planes(data: bytes) -> torch.Tensor:
    """Pixels that were never compressed → (3, side, side) uint8."""
    side = math.isqrt(len(data) // 3)
    return torch.from_numpy(np.frombuffer(data, np.uint8).reshape(3, side, side).copy())


def square(image: torch.Tensor, size: int, how: str) -> torch.Tensor:
    """(3, H, W) → (3, size, size): shorter side to `size` pixels, antialiased as Pillow does, then the centre.

    Views are NumPy's: each of PyTorch's would hand the interpreter to another thread and wait to get it back.
    """
    pixels = image.numpy()
    height, width = pixels.shape[1:]
    if max(height, width) > THIN * min(height, width):  # a thread of pixels need not be made whole
        pixels = centre(pixels, min(height, THIN * width), min(width, THIN * height))
        height, width = pixels.shape[1:]
    short = min(height, width)
    if short != size:
        longer = int(size * max(height, width) / short)
        shape = [size, longer] if height <= width else [longer, size]
        pixels = interpolate(torch.from_numpy(pixels[None]), shape, mode=how, antialias=True).numpy()[0]
    return torch.from_numpy(centre(pixels, size, size))


def centre(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The central part, rounded as torchvision's `center_crop` does."""
    top, left = (round((whole - part) / 2) for whole, part in zip(image.shape[1:], (height, width), strict=True))
    return image[:, top : top + height, left : left + width]


def read(item: Item, size: int, how: str) -> tuple[np.ndarray, str]:
    """An item whose place is a path → its (3, size, size) square and what was odd about the file.

    Raises ValueError where the file is no image, UserError where it is no longer there.
    """
    try:
        data = item.place.read()
    except zlib.error as error:
        raise ValueError(reason(error)) from error
    except OSError as error:
        raise UserError(f"prepare.source: {item.name} can no longer be read ({reason(error)})") from error
    image, odd = (planes(data), "") if item.place.packed == "planes" else decode(data)
    return square(image, size, how).numpy(), odd
