"""Photographs as the camera was held: the page's own step, since `data.images.decode` ignores the EXIF orientation."""

import io
import struct

import torch
from PIL import Image
from torch import Tensor

from alexnet_pl.data.images import decode

ORIENTATION = 274  # EXIF tag, from 1 to 8
MIRRORED = (2, 4, 5, 7)
QUARTER_TURNS = {3: 2, 4: 2, 5: 1, 6: -1, 7: -1, 8: 1}  # counterclockwise, after mirroring left and right


def decode_upright(data: bytes) -> Tensor:
    """Decode an image file, turned by its EXIF orientation: (3, H, W) uint8. Raises ValueError as `decode` does."""
    image, orientation = decode(data)[0], read_orientation(data)
    if orientation in MIRRORED:
        image = image.flip(2)
    return torch.rot90(image, QUARTER_TURNS.get(orientation, 0), (1, 2)).contiguous()


def read_orientation(data: bytes) -> int:
    """EXIF orientation of a JPEG or WebP, the formats of cameras; 1, upright, for others and corrupt EXIF data."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as picture:
            return picture.getexif().get(ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, EOFError, struct.error):
        return 1
