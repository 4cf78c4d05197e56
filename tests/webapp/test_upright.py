"""Photographs in the demo app are turned by their EXIF orientation."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from alexnet_pl.webapp.upright import ORIENTATION, decode_upright


def photograph(orientation: int, kind: str) -> bytes:
    """JPEG or WebP of 24 by 16 pixels with an EXIF orientation."""
    rng, file, exif = np.random.default_rng(0), io.BytesIO(), Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(rng.integers(0, 256, (2, 3, 3), np.uint8)).resize((24, 16)).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_photograph_is_turned_as_by_pillow(orientation: int, kind: str) -> None:
    data = photograph(orientation, kind)
    with Image.open(io.BytesIO(data)) as picture:
        turned = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    image = decode_upright(data)
    assert image.shape == (3, *turned.shape[:2])
    np.testing.assert_allclose(image.permute(1, 2, 0).numpy().astype(int), turned.astype(int), atol=2)


def test_corrupt_exif_data_is_ignored() -> None:
    data = photograph(6, "JPEG")
    start = data.index(b"Exif") + 6
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = int(rng.integers(1, 20))
        corrupt = data[:start] + rng.integers(0, 256, size, np.uint8).tobytes() + data[start + size :]
        assert sorted(decode_upright(corrupt).shape[1:]) == [16, 24]
