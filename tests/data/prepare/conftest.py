"""Fixture for tests of `prepare`: a small copy of images."""

from pathlib import Path

import pytest
from photographs import BAD, draw

from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.image_folder import read_folders


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen training images of three classes and three validation images; three are broken, one is gray."""
    root = tmp_path_factory.mktemp("copy")
    for c, name in enumerate("abc"):
        for number in range(5):
            draw(root / f"train/{name}/{number}.jpg", 10 * c + number)
        draw(root / f"val/{name}/0.jpg", 100 + c)
    draw(root / "train/b/1.jpg", 55, "L")
    (root / BAD[0]).write_bytes(b"")
    (root / BAD[1]).write_bytes((root / BAD[1]).read_bytes()[:200])
    (root / BAD[2]).write_bytes(b"no image at all")
    return root


@pytest.fixture(scope="module")
def source(copy: Path) -> DatasetListing:
    return read_folders(copy, {"a": "ant", "b": "bee"})
