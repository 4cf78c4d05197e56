"""Loader of whole images: each image once, in the split's order, unchanged."""

from functools import partial
from pathlib import Path

import pytest
import torch

from alexnet_pl.data.loading.whole_images import WholeImageLoader
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import scenes
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store

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


def test_store_of_squares_yields_squares(tiny_store: Path) -> None:
    split = Store(tiny_store).split("val")
    images = [image for batch in WholeImageLoader(split, 5, CPU, limit=2) for image in batch.images]
    assert torch.equal(torch.stack(images), split.images(torch.arange(len(images)).numpy()))
    assert len(images) == min(10, len(split))
