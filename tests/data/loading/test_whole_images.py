"""Loader of whole images: each image once, in the split's order, unchanged."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.loading.datamodule import check_augment_of_whole_images
from alexnet_pl.data.loading.whole_images import WholeImageLoader
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import scenes
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Eleven drawn scenes for testing, with three aspect ratios."""
    root = tmp_path_factory.mktemp("whole")
    settings = StoreSettings("scenes", 40, {"drawn": "scenes"}, StoreEncoding("whole"), shard=8, workers=1)
    drawn = scenes.source(40, (1, 1), train=2, val=11)
    return prepare(drawn, root / "store", settings, partial(scenes.read, size=40, objects=(1, 1))) and Store(
        root / "store"
    )


@pytest.mark.parametrize("world", [1, 2])
def test_whole_images_are_yielded_once_in_order_with_labels(whole: Store, world: int) -> None:
    split = whole.split("val")
    for rank in range(world):
        loader = WholeImageLoader(split, 4, CPU, rank, world)
        batches = list(loader)
        numbers = range(rank, 11, world)
        assert len(batches) == len(loader)
        assert [len(batch.images) for batch in batches] == [len(batch.labels) for batch in batches]
        images = [image for batch in batches for image in batch.images]
        assert len({image.shape for image in images}) > 1
        for i, image in zip(numbers, images, strict=True):
            assert torch.equal(image, split.image(i))
        assert torch.cat([batch.labels for batch in batches]).tolist() == [int(split.labels[i]) for i in numbers]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            {"mean": "per_position"},
            r"^augment.mean=per_position: the store at here has whole images, .*raw$",
        ),
        (
            {"include_last_offset": False},
            r"^augment.include_last_offset=false: .* augment.include_last_offset=true",
        ),
        ({"images_per_crop": 32}, r"^augment.images_per_crop=32: .* only augment.images_per_crop=1 "),
    ],
)
def test_options_that_need_images_of_one_size_are_refused(override: dict[str, Any], message: str) -> None:
    check_augment_of_whole_images(Augment(size=40, crop=32), "here")
    with pytest.raises(UserError, match=message):
        check_augment_of_whole_images(Augment(size=40, crop=32, **override), "here")


def test_store_of_squares_yields_squares(tiny_store: Path) -> None:
    split = Store(tiny_store).split("val")
    count = min(10, len(split))
    images = [image for batch in WholeImageLoader(split, 5, CPU, limit=2) for image in batch.images]
    by_class = sorted(range(len(split)), key=lambda number: split.labels[number])
    spread = sorted(by_class[number * len(split) // count] for number in range(count))
    assert torch.equal(torch.stack(images), split.images(np.array(spread)))
