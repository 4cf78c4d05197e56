"""Image decoding and the resize and center crop of §3: "we first rescaled the image such that the shorter side was of
length 256, and then cropped out the central 256 × 256 patch from the resulting image"."""

import io
import math
import zlib
from collections.abc import Sequence

import numpy as np
import simplejpeg
import torch
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor
from torch.nn.functional import interpolate

from alexnet_pl.data.native_stderr import catch_stderr
from alexnet_pl.errors import UserError, reason

FILTERS = ("bilinear", "bicubic")
GZIP = b"\x1f\x8b"  # one training image of ILSVRC-2010 is a gzipped JPEG
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF")  # Pillow starts other programs for some, as for EPS
MAX_PIXELS = 89_478_485  # Pillow's own limit against decompression bombs
MAX_ASPECT_RATIO = 16  # longer images are cropped before they are resized


class UnknownFormat(ValueError):
    """A file that is no image of `FORMATS`."""


def decode(data: bytes) -> tuple[torch.Tensor, str]:
    """Decode an image file of `FORMATS` to (3, H, W) uint8 RGB, with a note on its format ("" for an RGB JPEG).

    The EXIF orientation is ignored, as Pillow ignored it in 2012. Raises ValueError if it is not an image.
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
        raise ValueError("truncated gzip, or a decompression bomb (more than 89 MB)")
    return content


def decode_uncompressed(data: bytes) -> tuple[torch.Tensor, str]:
    return decode_jpeg_tensor(data) or decode_with_pillow(data)


def decode_jpeg_tensor(data: bytes) -> tuple[torch.Tensor, str] | None:
    """Decode a YCbCr or gray JPEG, as nearly all files are, without Pillow's copies; None for any other file."""
    if (decoded := decode_rgb_jpeg(data)) is None:
        return None
    pixels, space = decoded
    return torch.from_numpy(pixels.transpose(2, 0, 1)), "" if space == "YCbCr" else "JPEG L"


def decode_with_pillow(data: bytes) -> tuple[torch.Tensor, str]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"{width:,} × {height:,} pixels: more than 89 megapixels (a decompression bomb?)")
            note = "" if (picture.format, picture.mode) == ("JPEG", "RGB") else f"{picture.format} {picture.mode}"
            if picture.format == "TIFF":
                load_tiff(picture)
            return torch.from_numpy(np.array(to_rgb(picture))).permute(2, 0, 1), note
    except UnidentifiedImageError as error:
        raise UnknownFormat("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError("more than 89 megapixels (a decompression bomb?)") from error
    except (OSError, EOFError, zlib.error, SyntaxError, ValueError) as error:
        raise ValueError(reason(error)) from error


def load_tiff(picture: Image.Image) -> None:
    """Decode a TIFF. Raises ValueError with libtiff's message, since Pillow's is only a number."""
    with catch_stderr() as lines:
        try:
            picture.load()
        except OSError as error:
            failed = error
        else:
            return
    raise ValueError(lines[0] if lines else reason(failed)) from failed


def to_rgb(picture: Image.Image) -> Image.Image:
    """Convert any mode to RGB: scale 16-bit gray to 8 bits, which Pillow would clip, and drop transparency.

    Raises ValueError for floats, integers with a sign and 32-bit integers, whose range is unknown.
    """
    if picture.mode == "F" or (picture.format, picture.mode) == ("TIFF", "I"):
        raise ValueError(f"{picture.format} {picture.mode}, {describe_samples(picture)}: convert it to 8 bits")
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture, np.float64) * 255 / 65535).round().clip(0, 255).astype(np.uint8))
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def describe_samples(picture: Image.Image) -> str:
    """Pixels of a TIFF by its tags BitsPerSample and SampleFormat; those of other formats have 32 bits."""
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    (bits, *_), (kind, *_) = tags.get(258, (32,)), tags.get(339, (1,))
    return f"pixels of {bits} bits" + (" with a sign" if kind == 2 else "")


def raw_rgb(data: bytes) -> torch.Tensor:
    """Convert the bytes of a square image's red, green and blue planes to a (3, side, side) uint8 tensor."""
    side = math.isqrt(len(data) // 3)
    return torch.from_numpy(np.frombuffer(data, np.uint8).reshape(3, side, side).copy())


def resize_center_crop(image: torch.Tensor, size: int, filter_name: str) -> torch.Tensor:
    """Resize the shorter side to `size`, antialiased as in Pillow, and crop the center: (3, H, W) → (3, size, size).

    `filter_name`: "bilinear" or "bicubic". Slices are taken in NumPy, since PyTorch releases the GIL for each slice.
    """
    pixels = image.numpy()
    height, width = pixels.shape[1:]
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        pixels = crop_center(pixels, min(height, MAX_ASPECT_RATIO * width), min(width, MAX_ASPECT_RATIO * height))
        height, width = pixels.shape[1:]
    return torch.from_numpy(crop_center(resize_shorter(pixels, size, filter_name), size, size))


def check_aspect_ratio(image: torch.Tensor) -> None:
    """Raise ValueError if the aspect ratio of (3, H, W) exceeds `MAX_ASPECT_RATIO`: enlarged to a usual shorter side,
    the image would need the memory of many."""
    height, width = image.shape[1:]
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise ValueError(f"{width:,} × {height:,} pixels, one side more than {MAX_ASPECT_RATIO} times the other")


def resize_shorter_side(image: torch.Tensor, size: int, filter_name: str) -> torch.Tensor:
    """Resize a whole image so that its shorter side has `size` pixels, antialiased as in Pillow: (3, H, W) uint8.

    Raises ValueError if the aspect ratio exceeds `MAX_ASPECT_RATIO`.
    """
    check_aspect_ratio(image)
    return torch.from_numpy(resize_shorter(image.numpy(), size, filter_name))


def resize_shorter(pixels: np.ndarray, size: int, filter_name: str) -> np.ndarray:
    """Resize (3, H, W) uint8 so that the shorter side has `size` pixels."""
    height, width = pixels.shape[1:]
    short = min(height, width)
    if short == size:
        return pixels
    longer = int(size * max(height, width) / short)
    shape = [size, longer] if height <= width else [longer, size]
    return interpolate(torch.from_numpy(pixels[None]), shape, mode=filter_name, antialias=True).numpy()[0]


def crop_center(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Crop the center of (3, H, W) to (3, height, width), rounded as in torchvision's `center_crop`."""
    top, left = (round((length - part) / 2) for length, part in zip(image.shape[1:], (height, width), strict=True))
    return image[:, top : top + height, left : left + width]


def decode_rgb_jpeg(data: bytes) -> tuple[np.ndarray, str] | None:
    """Decode a YCbCr or gray JPEG with libjpeg-turbo: (H, W, 3) uint8 RGB, and "YCbCr" or "Gray".

    None for any other file and for corrupt ones, which are left to Pillow.
    """
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in ("YCbCr", "Gray") or int(height) * int(width) > MAX_PIXELS:
            return None
        return simplejpeg.decode_jpeg(data, "RGB"), space
    except ValueError:
        return None


def decode_into(data: memoryview, row: np.ndarray) -> None:
    """Decode a JPEG into `row`, (H, W, 3) uint8 of the same size. Raises ValueError for a corrupt file."""
    simplejpeg.decode_jpeg(data, "RGB", buffer=row)


def decode_batch(files: Sequence[memoryview], device: torch.device) -> Tensor:
    """Decode JPEGs of one size in one call: (N, 3, H, W) uint8 on `device`. Raises RuntimeError if any is corrupt.

    nvJPEG repeats half-resolution chroma where libjpeg-turbo interpolates, so pixels may differ at edges.
    """
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except ImportError as error:  # deprecated since torchvision 0.29
        raise UserError(
            "performance.jpeg_decoder=gpu: this torchvision no longer decodes; install torchvision<0.30"
        ) from error
    if device.type == "cuda":  # nvJPEG writes on a stream of its own, to memory that this one may still read
        torch.cuda.current_stream(device).synchronize()
    images = decode_jpeg([to_byte_tensor(data) for data in files], ImageReadMode.RGB, device)
    assert isinstance(images, list)
    return torch.stack(images)


def to_byte_tensor(data: memoryview) -> Tensor:
    return torch.from_numpy(np.array(np.frombuffer(data, np.uint8)))  # copied, since a mapped file is read-only
