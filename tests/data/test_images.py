"""Decoding and resizing (§3) against Pillow, for every file type in copies of ImageNet."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.images import FILTERS, decode, resize_center_crop
from alexnet_pl.data.prepare.shard import read_square
from alexnet_pl.data.sources.base import ImageRecord
from alexnet_pl.errors import UserError

SIZE = 32


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Fine grain over coarse blotches, so that filters, positions and orientations make a difference."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((width, height))
    fine = rng.integers(0, 256, (height, width, 3))
    return Image.fromarray((np.asarray(coarse) * 0.6 + fine * 0.4).astype(np.uint8))


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def planes(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)


def by_pillow(picture: Image.Image, size: int, how: str) -> np.ndarray:
    """§3 implemented with Pillow: shorter side to `size`, then center crop."""
    picture, short = picture.convert("RGB"), min(picture.size)
    wide, high = (side * size // short for side in picture.size)
    picture = picture.resize((wide, high), Image.Resampling[how.upper()])
    left, top = (wide - size) // 2, (high - size) // 2
    return planes(picture.crop((left, top, left + size, top + size)))


def apart(a: np.ndarray | torch.Tensor, b: np.ndarray) -> float:
    """Mean difference in gray levels."""
    return float(np.abs(np.asarray(a, np.float64) - b).mean())


# Landscape, portrait, square, much reduced, already at the size, and smaller; margins to crop are all even.
SHAPES = [(96, 64), (64, 96), (80, 80), (640, 480), (48, 32), (32, 64), (32, 32), (20, 10), (3, 3)]


@pytest.mark.parametrize("how", FILTERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_jpeg_becomes_the_same_square_as_with_pillow(shape: tuple[int, int], how: str) -> None:
    data = encoded(noise(*shape), "JPEG", quality=90)
    image, odd = decode(data)
    found = resize_center_crop(image, SIZE, how)
    assert odd == ""
    assert found.dtype == torch.uint8
    assert found.shape == (3, SIZE, SIZE)
    assert apart(found, by_pillow(Image.open(io.BytesIO(data)), SIZE, how)) < 1


def test_filters_differ_by_more_than_the_comparison_allows() -> None:
    picture = noise(96, 64)
    assert apart(by_pillow(picture, SIZE, "bilinear"), by_pillow(picture, SIZE, "bicubic")) > 1.5


@pytest.mark.parametrize("shape", [(49, 32), (32, 49), (33, 32)])
def test_odd_margins_give_one_of_the_two_center_crops(shape: tuple[int, int]) -> None:
    whole = planes(noise(*shape))
    top, left = (whole.shape[1] - SIZE) // 2, (whole.shape[2] - SIZE) // 2
    down, right = whole.shape[1] % 2, whole.shape[2] % 2
    middle = [whole[:, y : y + SIZE, x : x + SIZE] for y, x in ((top, left), (top + down, left + right))]
    found = resize_center_crop(torch.from_numpy(whole.copy()), SIZE, "bilinear").numpy()
    assert any(np.array_equal(found, crop) for crop in middle)


@pytest.mark.parametrize("shape", [(300, 1), (1, 300), (1, 1)])
def test_panorama_of_one_pixel_height_is_resized(shape: tuple[int, int]) -> None:
    picture = noise(*shape)
    found = resize_center_crop(decode(encoded(picture, "PNG"))[0], SIZE, "bilinear")
    assert apart(found, by_pillow(picture, SIZE, "bilinear")) < 1


def test_gray_jpeg_has_three_equal_channels() -> None:
    gray = noise(48, 40).convert("L")
    image, odd = decode(encoded(gray, "JPEG", quality=95))
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    assert apart(image[0], np.asarray(gray)) < 3
    assert "L" in odd


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)])
def test_cmyk_jpeg_keeps_its_colors(color: tuple[int, int, int]) -> None:
    """Adobe's CMYK values are stored inverted: without correction, images are negatives."""
    image, odd = decode(encoded(Image.new("RGB", (24, 16), color).convert("CMYK"), "JPEG", quality=95))
    assert image.shape == (3, 16, 24)
    assert apart(image, np.array(color)[:, None, None]) < 4
    assert "CMYK" in odd


def test_palette_png_named_jpeg_is_read_as_png(tmp_path: Path) -> None:
    """ILSVRC's n02105855_2933.JPEG is such a file."""
    picture = noise(48, 32).quantize(64)
    path = tmp_path / "n02105855_2933.JPEG"
    path.write_bytes(encoded(picture, "PNG"))
    image, odd = read_square(ImageRecord("any", 0, ByteLocation(path)), SIZE, "bilinear")
    assert isinstance(image, np.ndarray)
    assert np.array_equal(image, planes(picture)[:, :, 8:40])
    assert "PNG" in odd


def test_palette_with_transparency_keeps_its_colors_without_a_warning() -> None:
    picture = noise(40, 32).quantize(16)
    data = encoded(picture, "PNG", transparency=bytes([0, 128, *[255] * 14]))
    assert np.array_equal(decode(data)[0], planes(picture))


def test_opaque_alpha_channel_changes_nothing() -> None:
    picture = noise(40, 32)
    for mode in ("RGBA", "LA"):
        image, odd = decode(encoded(picture.convert(mode), "PNG"))
        assert np.array_equal(image, planes(picture.convert(mode[:-1]))), mode
        assert mode in odd


def png16(pixels: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3) uint16 → PNG with 16 bits per channel, written according to its specification."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2").reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
        (b"IEND", b""),
    )
    chunks = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_sixteen_bit_channels_are_scaled_to_eight_bits(mode: str) -> None:
    """Scaling divides by 257 (65535 → 255); clipping instead would make nearly every pixel white."""
    picture = noise(40, 32).convert(mode)
    image, odd = decode(png16(np.asarray(picture).astype(np.uint16) * 257))
    assert apart(image, planes(picture)) <= 1
    assert odd


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_orientation_is_ignored(kind: str, orientation: int) -> None:
    """Pillow ignored it in 2012."""
    picture, exif = noise(48, 32), Image.Exif()
    exif[0x0112] = orientation
    turned, plain = encoded(picture, kind, exif=exif), encoded(picture, kind)
    assert Image.open(io.BytesIO(turned)).getexif()[0x0112] == orientation
    assert torch.equal(decode(turned)[0], decode(plain)[0])
    assert decode(turned)[0].shape == (3, 32, 48)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PPM", "TIFF", "PNG"])
def test_lossless_formats_are_read_exactly(kind: str) -> None:
    picture = noise(40, 32).quantize(64) if kind == "GIF" else noise(40, 32)
    image, odd = decode(encoded(picture, kind))
    assert np.array_equal(image, planes(picture))
    assert kind in odd


@pytest.mark.parametrize(
    ("dtype", "kind", "says"),
    [
        ("<f4", 3, "TIFF F, pixels of 32 bits"),
        ("<u4", 1, "TIFF I, pixels of 32 bits"),
        (">i4", 2, "TIFF I, pixels of 32 bits with a sign"),
        ("<i2", 2, "TIFF I, pixels of 16 bits with a sign"),
        (">i2", 2, "TIFF I, pixels of 16 bits with a sign"),
    ],
)
def test_tiff_of_unknown_range_is_refused(dtype: str, kind: int, says: str) -> None:
    """Numbers from 0 to 1, or to 200 of 2³², would be black; with a sign, white may be anywhere."""
    pixels = np.linspace(0, 200, 64).reshape(8, 8).astype(dtype)
    with pytest.raises(ValueError, match=rf"^{says}: convert it to 8 bits$"):
        decode(gray_tiff(pixels, kind))


def gray_tiff(pixels: np.ndarray, kind: int) -> bytes:
    """(H, W) → TIFF in the byte order of the array, written according to its specification; `kind`: SampleFormat."""
    order, (height, width) = pixels.dtype.str[0], pixels.shape
    tags = {256: width, 257: height, 258: 8 * pixels.itemsize, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags |= {279: pixels.nbytes, 339: kind}
    fields = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + pixels.nbytes)
    return start + pixels.tobytes() + struct.pack(f"{order}H", len(tags)) + fields + bytes(4)


@pytest.mark.parametrize(("kind", "order"), [("TIFF", "<u2"), ("TIFF", ">u2"), ("PNG", "<u2"), ("PPM", "<u2")])
def test_gray_images_of_16_bits_are_scaled_to_8(kind: str, order: str) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (24, 32)).astype(np.uint16)
    image, _ = decode(encoded(Image.fromarray((257 * gray).astype(order)), kind))
    assert np.array_equal(image, np.stack(3 * [gray]))


def test_postscript_is_refused_before_a_program_is_started() -> None:
    with pytest.raises(ValueError, match=r"^not an image$"):
        decode(encoded(noise(64, 48), "EPS"))


def test_webp_is_read() -> None:
    image, odd = decode(encoded(noise(40, 32), "WEBP", lossless=True))
    assert np.array_equal(image, planes(noise(40, 32)))
    assert odd == "WEBP RGB"


JPEG, PNG = encoded(noise(64, 48), "JPEG"), encoded(noise(64, 48), "PNG")
BAD = {
    "empty": b"",
    "two bytes": JPEG[:2],
    "header of a JPEG": JPEG[:100],
    "half a JPEG": JPEG[: len(JPEG) // 2],
    "half a gray JPEG": encoded(noise(64, 48).convert("L"), "JPEG")[:900],
    "half a CMYK JPEG": encoded(noise(64, 48).convert("CMYK"), "JPEG")[:2000],
    "half a PNG": PNG[: len(PNG) // 2],
    "PNG of a wrong checksum": PNG[:20] + b"\xff" + PNG[21:],
    "text": b"<html><body>404 Not Found</body></html>",
    "zeros": bytes(5000),
    "JPEG mark and then zeros": JPEG[:3] + bytes(5000),
}


@pytest.mark.parametrize("what", BAD)
def test_incomplete_images_are_refused_with_a_one_line_reason(what: str) -> None:
    with pytest.raises(ValueError, match=r"\w+") as caught:
        decode(BAD[what])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", BAD)
def test_reason_is_repeatable_and_has_no_memory_address(what: str) -> None:
    """The reason is written to odd.json, which users read and which should be equal for two runs on one copy."""
    reasons = []
    for _ in range(2):
        with pytest.raises(ValueError, match=r"\w+") as caught:
            decode(BAD[what])
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    assert " at 0x" not in reasons[0]


def test_disk_errors_stop_prepare_and_are_not_unreadable_images(tmp_path: Path) -> None:
    """A disk error must not produce a store without its images."""
    for path in (tmp_path / "gone.jpg", tmp_path):
        with pytest.raises(UserError, match=rf"^prepare.source: any can no longer be read .*{path.name}"):
            read_square(ImageRecord("any", 0, ByteLocation(path)), SIZE, "bilinear")


def test_corrupt_file_is_read_or_raises_value_error() -> None:
    """Change one byte of a header at a time: `prepare` continues only after a ValueError."""
    rng = np.random.default_rng(0)
    small = noise(9, 7)
    files = [encoded(small, "JPEG"), encoded(small, "PNG"), encoded(small.quantize(8), "GIF"), encoded(small, "BMP")]
    refused = 0
    for data in files:
        for place in range(2, min(len(data), 150)):
            try:
                image, _ = decode(data[:place] + rng.bytes(1) + data[place + 1 :])
                assert image.shape[0] == 3
            except ValueError:
                refused += 1
    assert refused > 50


@pytest.mark.parametrize("compression", ["tiff_deflate", "jpeg"])
def test_libtiff_messages_become_the_reason_and_are_not_printed(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(encoded(noise(64, 48), "TIFF", compression=compression))
    data[len(data) // 2 if compression == "tiff_deflate" else data.index(b"\xff\xdb") + 1] ^= 1
    with pytest.raises(ValueError, match=r"^ZIPDecode: Decoding error|^JPEGLib: "):
        decode(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_truncated_exif_prints_no_warning(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Pillow warns about it, which commands leave out; tested in a child process, since pytest captures warnings."""
    data = bytearray(encoded(noise(64, 48), "TIFF", compression="tiff_lzw"))
    (tmp_path / "cut.tif").write_bytes(data[:-40])
    imports = (
        "from alexnet_pl.console import silence_image_warnings as quiet; from alexnet_pl.data.images import decode"
    )
    code = f"decode(open({str(tmp_path / 'cut.tif')!r}, 'rb').read())"
    loud, silent = (
        subprocess.run([sys.executable, "-c", f"{imports}; {words}{code}"], capture_output=True, text=True)
        for words in ("", "silence_image_warnings(); ")
    )
    assert "UserWarning: Truncated File Read" in loud.stderr
    assert "Warning" not in silent.stderr
