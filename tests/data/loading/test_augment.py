"""Augmentation (§5.1) against NumPy, image by image: crops, reflections, mean, color noise."""

import numpy as np
import pytest
import torch
from augmented import COVARIANCE, SIZES, cut, draws, make_augment, photographs, uneven_mean
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_pl.data.loading.augment import Augment


@pytest.mark.parametrize(("size", "crop"), SIZES)
def test_training_view_is_numpys_slice_reflected_if_drawn(size: int, crop: int) -> None:
    """First and last offsets, different row and column offsets, both reflections."""
    last = size - crop
    offsets = [[0, 0], [last, last], [0, last], [last, 0], [1, last - 2], [last // 2, 3]]
    flips = [False, True, True, False, True, False]
    images = photographs(6, size)
    view = make_augment(size, crop, noise=0)(torch.from_numpy(images), draws(offsets, flips))
    assert view.dtype == torch.float32
    wanted = [cut(image, *at, crop, flip) for image, at, flip in zip(images, offsets, flips, strict=True)]
    assert np.array_equal(view.numpy(), np.stack(wanted))


def test_pixels_keep_their_scale_of_0_to_255() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(8)[:16].reshape(1, 1, 4, 4).expand(1, 3, 4, 4)
    view = make_augment(4, 4, noise=0)(images, draws([[0, 0]], [False]))
    assert set(view.unique().tolist()) == {0.0, 255.0}


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_crop_of_any_size_matches_numpy(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 12))
    crop = data.draw(st.integers(1, size))
    place = st.integers(0, size - crop)
    chosen = data.draw(st.lists(st.tuples(place, place, st.booleans()), min_size=1, max_size=5))
    images, mean = photographs(len(chosen), size), uneven_mean(size)
    view = make_augment(size, crop, mean, noise=0, mean="per_position")(
        torch.from_numpy(images), draws([c[:2] for c in chosen], [c[2] for c in chosen])
    )
    wanted = [cut(image - mean, top, left, crop, flip) for image, (top, left, flip) in zip(images, chosen, strict=True)]
    np.testing.assert_allclose(view.numpy(), np.stack(wanted), atol=1e-4)


@pytest.mark.parametrize(("size", "crop"), SIZES)
@pytest.mark.parametrize("which", ["center", "per_position"])
def test_mean_is_centered_as_run_and_per_position_as_printed(which: str, size: int, crop: int) -> None:
    """convdata_jpeg.py:201: the mean's central crop for all offsets, unreflected; as printed, each pixel's own mean."""
    last, mid = size - crop, (size - crop) // 2
    offsets, flips = [[0, 0], [last, 1], [last, last], [mid, mid]], [False, True, False, True]
    images, mean = photographs(4, size), uneven_mean(size)
    view = make_augment(size, crop, mean, noise=0, mean=which)(torch.from_numpy(images), draws(offsets, flips)).numpy()
    for image, (top, left), flip, found in zip(images, offsets, flips, view, strict=True):
        if which == "center":
            wanted = cut(image, top, left, crop, flip) - mean[:, mid : mid + crop, mid : mid + crop]
        else:
            wanted = cut(image - mean, top, left, crop, flip)
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("which", ["center", "per_position"])
def test_view_is_repeatable_and_leaves_its_inputs_unchanged(which: str) -> None:
    images = torch.from_numpy(photographs(3, 32))
    kept, augment = images.clone(), make_augment(32, 24, uneven_mean(32), mean=which)
    drawn = augment.draw(0, 0, 0, 3)
    first = augment(images, drawn).clone()
    list(augment.views(images, "ten"))
    assert torch.equal(augment(images, drawn), first)
    assert torch.equal(images, kept)


SCALES = {  # gray levels of one standard deviation of α along a component of standard deviation s
    "stdev": lambda s: s,
    "eigenvalue": lambda s: (s / 255) ** 2 * 255,
    "eigenvalue255": lambda s: s**2,
}


def noise_of_one(augment: Augment) -> np.ndarray:
    """(3, 3) contribution of each drawn number, one per row, to RGB of a gray pixel."""
    size = augment.size
    gray = torch.full((3, 3, size, size), 128, dtype=torch.uint8)
    view = augment(gray, draws([[0, 0]] * 3, [False] * 3, np.eye(3))).double()
    return view[:, :, 0, 0].numpy() - 128


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_color_noise_adds_scaled_components(scale: str, noise: float) -> None:
    """§5.1, computed by numpy's eigh in float64; order and signs of the components are arbitrary."""
    chance = np.random.default_rng(3).standard_normal((3, 50)) * [[30.0], [80.0], [50.0]]
    covariance = np.cov(chance)
    variances, directions = np.linalg.eigh(covariance)
    found = noise_of_one(make_augment(4, 4, covariance=covariance, noise=noise, noise_scale=scale, rescale=False))
    found = found[np.argsort(np.linalg.norm(found, axis=1))]
    for got, variance, direction in zip(found, variances, directions.T, strict=True):
        wanted = noise * SCALES[scale](variance**0.5) * direction
        sign = np.sign(got @ wanted)
        np.testing.assert_allclose(got, sign * wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("scale", "gray_levels"),
    [("stdev", [1.97, 3.71, 12.18]), ("eigenvalue", [0.15, 0.54, 5.82]), ("eigenvalue255", [38.9, 137.6, 1483.0])],
)
def test_imagenet_color_noise_has_the_published_components(scale: str, gray_levels: list[float]) -> None:
    """SOURCE_FACTS §4 at α of one standard deviation; `eigenvalue` is λ / 255² · 255 · 0.1 by hand."""
    found = noise_of_one(make_augment(4, 4, noise_scale=scale, rescale=False))
    assert sorted(np.linalg.norm(found, axis=1)) == pytest.approx(gray_levels, rel=0.02)


def test_color_noise_has_the_expected_deviation_per_channel() -> None:
    """SOURCE_FACTS §4: implied standard deviations 74.0, 72.0, 77.0 of R, G and B; a tenth of them is added."""
    count, augment = 40_000, make_augment(1, 1, rescale=False)
    gray = torch.full((count, 3, 1, 1), 128, dtype=torch.uint8)
    added = augment(gray, augment.draw(0, 0, 0, count)).double()[:, :, 0, 0] - 128
    assert added.std(0).tolist() == pytest.approx([7.40, 7.20, 7.70], rel=5 / (2 * count) ** 0.5 + 0.002)
    np.testing.assert_allclose(np.cov(added.numpy().T), COVARIANCE / 100, atol=1.5)


@pytest.mark.parametrize("noise", [0.1, 0.05])
@pytest.mark.parametrize("rescale", [True, False])
def test_noise_is_one_color_per_image_added_before_rescaling(rescale: bool, noise: float) -> None:
    """convdata_jpeg.py:155: (pixels − mean + color) / (1 + noise); as printed, nothing is divided."""
    images, mean = photographs(5, 32), uneven_mean(32)
    numbers = np.random.default_rng(4).standard_normal((5, 3))
    offsets, flips = [[0, 8], [3, 4], [8, 8], [4, 4], [0, 0]], [True, False, True, False, True]
    colors = numbers @ noise_of_one(make_augment(32, 32, noise=noise, rescale=False))
    view = make_augment(32, 24, mean, noise=noise, rescale=rescale)(
        torch.from_numpy(images), draws(offsets, flips, numbers)
    )
    for image, at, flip, color, found in zip(images, offsets, flips, colors, view.numpy(), strict=True):
        wanted = cut(image, *at, 24, flip) - mean[:, 4:28, 4:28] + color[:, None, None]
        np.testing.assert_allclose(found, wanted / (1 + noise) if rescale else wanted, rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("late", [False, True], ids=["from the start", "switched off later"])
def test_without_noise_nothing_is_added_or_rescaled(late: bool) -> None:
    """SOURCE_FACTS §4: noise, and the division by 1.1, are disabled in the last ~25 epochs."""
    augment = make_augment(32, 24, noise=0.1 if late else 0.0)
    images = photographs(2, 32)
    drawn = draws([[0, 0], [8, 8]], [False, False], np.ones((2, 3)))
    if late:
        assert not np.array_equal(augment(torch.from_numpy(images), drawn)[0].numpy(), images[0, :, :24, :24])
        augment.noise = 0.0
    view = augment(torch.from_numpy(images), drawn).numpy()
    assert np.array_equal(view, np.stack([images[0, :, :24, :24], images[1, :, 8:, 8:]]).astype(np.float32))


def test_constant_mean_replaces_the_mean_image_if_set() -> None:
    """OverFeat's released networks: 118.380948 for all pixels and colors."""
    images = photographs(2, 32)
    one = make_augment(32, 24, uneven_mean(32), pixel_mean=118.380948, noise=0)
    (view,) = one.views(torch.from_numpy(images), "center")
    np.testing.assert_allclose(view.numpy(), images[:, :, 4:28, 4:28] - 118.380948, atol=1e-4)
    drawn = one.draw(0, 0, 0, 2)
    (top, left), flip = drawn.offsets[0].tolist(), bool(drawn.flips[0])
    wanted = cut(images[0], top, left, 24, flip) - 118.380948
    np.testing.assert_allclose(one(torch.from_numpy(images), drawn)[0].numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", 0),
        ("crop", 257),
        ("noise_scale", "variance"),
        ("mean", "median"),
        ("images_per_crop", 0),
        ("noise", -0.1),
        ("pixel_mean", 256),
    ],
)
def test_invalid_options_are_refused_by_name(name: str, value) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        Augment(**{name: value})


@pytest.mark.parametrize("mean", ["center", "per_position"])
@pytest.mark.parametrize("noise", [0, 0.1])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_single_images_give_the_same_bits_as_the_batch(mean: str, noise: float, layout: torch.memory_format) -> None:
    """Bit-identical: the same operations in the same order."""
    augment = Augment(size=20, crop=13, noise=noise, mean=mean)
    rng = np.random.default_rng(0)
    augment.set_statistics(rng.uniform(90, 130, (3, 20, 20)), np.diag([100.0, 400.0, 9000.0]))
    images = torch.from_numpy(rng.integers(0, 256, (9, 3, 20, 20), dtype=np.uint8)).contiguous(memory_format=layout)
    draws = augment.draw(0, 1, 2, 9)
    assert 0 < draws.flips.sum() < 9
    whole = augment(images, draws)
    augment.image_by_image = True
    assert torch.equal(augment(images, draws), whole)
    assert augment(images, draws).is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(images, draws), whole.bfloat16())
    augment.image_by_image, augment.fused = False, True
    torch.testing.assert_close(augment(images, draws), whole)
    assert augment(images, draws).is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(augment(images, draws), whole.bfloat16())


@pytest.mark.parametrize("side", [6, 12])
def test_views_of_images_of_another_size_are_refused(side: int) -> None:
    augment, images = Augment(size=8, crop=6), torch.zeros(2, 3, side, side, dtype=torch.uint8)
    with pytest.raises(ValueError, match=rf"^images of shape \(2, 3, {side}, {side}\): expected 8 × 8 pixels"):
        next(augment.views(images, "ten"))
