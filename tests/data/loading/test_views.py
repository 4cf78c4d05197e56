"""Test views (§5.1) against NumPy: the center, nine and ten crops, and the mean they lose."""

import weakref

import numpy as np
import pytest
import torch
from augmented import SIZES, cut, make_augment, photographs, uneven_mean

from alexnet_pl.data.loading.augment import Augment


def as_set(views: list[np.ndarray]) -> set[bytes]:
    return {np.ascontiguousarray(view, dtype=np.float32).tobytes() for view in views}


@pytest.mark.parametrize(("size", "crop"), SIZES)
def test_ten_views_are_four_corners_center_and_reflections(size: int, crop: int) -> None:
    """§5.1, in any order; offsets for 256 pixels are 0, 16 and 32. Tests use no noise and no division."""
    images, last, mid = photographs(2, size), size - crop, (size - crop) // 2
    views = list(make_augment(size, crop, noise=0.1).views(torch.from_numpy(images), "ten"))
    assert len(views) == 10
    assert all(view.shape == (2, 3, crop, crop) for view in views)
    places = [(0, 0), (0, last), (last, 0), (last, last), (mid, mid)]
    for i, image in enumerate(images):
        wanted = [cut(image, *place, crop, flip) for place in places for flip in (False, True)]
        assert as_set([view[i].numpy() for view in views]) == as_set(wanted)
        assert len(as_set(wanted)) == 10


@pytest.mark.parametrize("which", ["center", "per_position"])
def test_test_views_lose_the_same_mean_as_training_views(which: str) -> None:
    images, mean = photographs(1, 32), uneven_mean(32)
    views = [
        view[0].double().numpy()
        for view in make_augment(32, 24, mean, mean=which).views(torch.from_numpy(images), "ten")
    ]
    for top, left in [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]:
        for flip in (False, True):
            if which == "center":
                wanted = cut(images[0], top, left, 24, flip) - mean[:, 4:28, 4:28]
            else:
                wanted = cut(images[0] - mean, top, left, 24, flip)
            assert sum(np.abs(view - wanted).max() < 1e-3 for view in views) == 1


def test_validation_view_is_the_center_crop() -> None:
    """SOURCE_FACTS §4: single-view test = central 224, no flip."""
    images, mean = photographs(2, 256), uneven_mean(256)
    (view,) = make_augment(256, 224, mean).views(torch.from_numpy(images), "center")
    np.testing.assert_allclose(view.numpy(), (images - mean)[:, :, 16:240, 16:240], atol=1e-3)


def test_nine_views_are_a_grid_without_reflections() -> None:
    """convdata_cifar.py: three rows by three columns, 4 pixels apart, for 24 pixels of 32."""
    images, mean = photographs(2, 32), uneven_mean(32)
    views = list(make_augment(32, 24, mean).views(torch.from_numpy(images), "nine"))
    places = [(top, left) for top in (0, 4, 8) for left in (0, 4, 8)]
    wanted = [[cut(image, *place, 24, False) - mean[:, 4:28, 4:28] for image in images] for place in places]
    np.testing.assert_allclose(torch.stack(views).numpy(), np.array(wanted), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("mean", ["center", "per_position"])
def test_without_crops_and_reflections_training_sees_the_center_view_of_tests(mean: str) -> None:
    augment = make_augment(32, 24, noise=0, mean=mean, flip=False, random_crop=False)
    images = torch.from_numpy(photographs(40, 32))
    (center,) = augment.views(images, "center")
    torch.testing.assert_close(augment(images, augment.draw(1, 2, 3, 40)), center)
    usual = make_augment(32, 24).draw(1, 2, 3, 40)
    assert torch.equal(augment.draw(1, 2, 3, 40).noise, usual.noise)


def test_ten_views_are_generated_one_at_a_time() -> None:
    """Testing then needs the memory of only one view: each is freed before the next is computed."""
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    views = Augment(32, 24).views(images, "ten")
    alive: list[weakref.ref[torch.Tensor]] = []
    view = None
    for view in views:
        assert sum(one() is not None for one in alive) <= 1
        alive.append(weakref.ref(view))
    assert view is not None
    assert len(alive) == 10
