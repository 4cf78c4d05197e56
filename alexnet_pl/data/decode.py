"""From an image file's bytes to §2's square: "we first rescaled the image such that the shorter side was of length
256, and then cropped out the central 256 × 256 patch from the resulting image"."""

import gzip
import io
import zlib

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torchvision.transforms.v2.functional import InterpolationMode, center_crop, resize

from alexnet_pl.data.source import Item

FILTERS = ("bilinear", "bicubic")
GZIP = b"\x1f\x8b"  # one training image of ILSVRC-2010 is a JPEG compressed once more
THIN = 16  # sides' ratio above which an image is cropped before it is resized


def decode(data: bytes) -> tuple[torch.Tensor, str]:
    """Any image file → (3, H, W) uint8 RGB, and what was odd about it ("" for a plain RGB JPEG).

    An orientation that a camera noted (EXIF) is ignored, as Pillow ignored it in 2012. Raises ValueError.
    """
    if not data:
        raise ValueError("empty file")
    try:
        if data.startswith(GZIP):
            image, odd = decode(gzip.decompress(data))
            return image, f"gzip of {odd or 'JPEG RGB'}"
        with Image.open(io.BytesIO(data)) as picture:
            odd = "" if (picture.format, picture.mode) == ("JPEG", "RGB") else f"{picture.format} {picture.mode}"
            return torch.from_numpy(np.array(rgb(picture))).permute(2, 0, 1), odd
    except UnidentifiedImageError as error:
        raise ValueError("not an image") from error
    except (OSError, EOFError, zlib.error, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(str(error).strip().splitlines()[0]) from error


def rgb(picture: Image.Image) -> Image.Image:
    """Any mode → RGB: 16-bit grey scaled to 8, transparency dropped; Pillow clips the one and warns of the other."""
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture, np.float64) * 255 / 65535).round().clip(0, 255).astype(np.uint8))
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def square(image: torch.Tensor, size: int, how: str) -> torch.Tensor:
    """(3, H, W) → (3, size, size): shorter side to `size` pixels, antialiased as Pillow does, then the centre."""
    short = min(image.shape[1:])
    if max(image.shape[1:]) > THIN * short:  # what a thread of pixels would grow to need not be made whole
        image = center_crop(image, [min(side, THIN * short) for side in image.shape[1:]])
    if short != size:
        image = resize(image, [size], InterpolationMode(how), antialias=True)
    return center_crop(image, [size, size])


def read(item: Item, size: int, how: str) -> tuple[np.ndarray, str]:
    """An item whose place is a path → its (3, size, size) square and what was odd about the file."""
    try:
        image, odd = decode(item.place.read())
    except OSError as error:
        raise ValueError(str(error)) from error
    return square(image, size, how).numpy(), odd
