"""Drawn images and image files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from PIL import Image

from alexnet_pl.data.prepare import shard
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import ImageReader
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.sources.base import DatasetListing

SIZE = 8
READ = partial(shard.read_square, size=SIZE, filter_name="bilinear")
HOW = {"filter": "bilinear", "crop": "centre"}
PLAIN = StoreSettings("three", SIZE, HOW, shard=4)
BAD = ["train/a/0.jpg", "train/b/3.jpg", "train/c/4.jpg"]  # first, middle and last images of the training split


def draw(path: Path, seed: int, mode: str = "RGB") -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 30, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode).save(path)


def drawn(number: int, side: int = 90) -> torch.Tensor:
    """Image of the data set that `synthetic` draws, (3, side, side) uint8."""
    return torch.from_numpy(synthetic.draw_image(number, side)[0])


def save_png(path: Path, image: torch.Tensor) -> Path:
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return path


def make(source: DatasetListing, root: Path, read: ImageReader = READ, **changes: Any) -> dict[str, Any]:
    """Prepare a store with several shards, the last one not full."""
    about = prepare(source, root, PLAIN._replace(**changes), read)
    assert about is not None
    return about


def fail(error: BaseException) -> Callable[..., NoReturn]:
    def failing(*_: object, **__: object) -> NoReturn:
        raise error

    return failing


def beside(root: Path) -> list[str]:
    """Names of the files beside `root`, including its own."""
    return [path.name for path in root.parent.iterdir()]
