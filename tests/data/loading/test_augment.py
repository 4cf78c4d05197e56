"""Augmentation (§5.1) against numpy, image by image: crops, reflections, mean, color noise; the ten test views."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_pl.data.loading.augment import Augment, Draws

# SOURCE_FACTS §4: published principal components of ImageNet's colors (0 to 255), one per column, ascending.
STDEVS = np.array([19.721, 37.094, 121.780])
DIRECTIONS = np.array([[0.41796, -0.71258, -0.56351], [-0.81698, -0.02354, -0.57618], [0.39731, 0.70120, -0.59200]])
COVARIANCE = DIRECTIONS @ np.diag(STDEVS**2) @ DIRECTIONS.T
SIZES = [(256, 224), (224, 200), (32, 24)]


def photographs(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def make_augment(
    size: int, crop: int, image: np.ndarray | None = None, covariance: np.ndarray = COVARIANCE, **settings
) -> Augment:
    """Augment with `image` as the mean image, black by default."""
    augment = Augment(size=size, crop=crop, **settings)
    augment.set_statistics(np.zeros((3, size, size)) if image is None else image, covariance)
    return augment


def draws(offsets, flips, noise=None) -> Draws:
    noise = np.zeros((len(flips), 3)) if noise is None else noise
    return Draws(torch.tensor(offsets), torch.tensor(flips), torch.tensor(noise, dtype=torch.float32))


def cut(image: np.ndarray, top: int, left: int, crop: int, flip: bool) -> np.ndarray:
    piece = image[:, top : top + crop, left : left + crop].astype(np.float64)
    return piece[:, :, ::-1] if flip else piece


def uneven_mean(size: int) -> np.ndarray:
    """A mean image that changes under every shift and reflection."""
    return 60 + 100 * np.random.default_rng(9).random((3, size, size))


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


def test_crops_start_at_33_offsets_equally_often() -> None:
    """convdata_jpeg.py:239: 0 to 32 inclusive, 33 × 33 × 2 variants; rows and columns are drawn separately."""
    drawn = Augment().draw(0, 0, 0, 33_000)
    for axis in drawn.offsets.T:
        places, counts = np.unique(axis.numpy(), return_counts=True)
        assert places.tolist() == list(range(33))
        assert np.abs(counts - 1000).max() < 5 * 1000**0.5
    assert len({tuple(pair) for pair in drawn.offsets.tolist()}) == 33 * 33


def test_last_offset_is_never_used_as_printed() -> None:
    """§5.1: "a factor of 2048" is 32 · 32 · 2."""
    drawn = Augment(include_last_offset=False).draw(0, 0, 0, 32_000)
    for axis in drawn.offsets.T:
        assert axis.unique().tolist() == list(range(32))


@pytest.mark.parametrize(("size", "crop"), SIZES[1:])
def test_crop_offsets_of_smaller_images(size: int, crop: int) -> None:
    drawn = Augment(size=size, crop=crop).draw(0, 0, 0, 5000)
    assert drawn.offsets.unique().tolist() == list(range(size - crop + 1))
    assert not Augment(size=crop, crop=crop, include_last_offset=False).draw(0, 0, 0, 50).offsets.any()
    assert not Augment(size=crop, crop=crop).draw(0, 0, 0, 50).offsets.any()


def test_half_of_the_images_are_reflected_and_noise_is_standard_normal() -> None:
    count = 20_000
    drawn = Augment().draw(0, 0, 0, count)
    assert drawn.flips.dtype == torch.bool
    assert abs(drawn.flips.double().mean().item() - 0.5) < 5 * (0.25 / count) ** 0.5
    noise = drawn.noise.double()
    assert noise.shape == (count, 3)
    assert noise.mean(0).abs().max() < 5 / count**0.5
    assert (noise.std(0) - 1).abs().max() < 5 / (2 * count) ** 0.5
    assert abs((noise.abs() < 1).double().mean().item() - 0.6827) < 5 * (0.217 / 3 / count) ** 0.5


def test_row_column_reflection_and_noise_are_independent() -> None:
    drawn = Augment().draw(0, 0, 0, 20_000)
    columns = torch.cat([drawn.offsets.double(), drawn.flips.double()[:, None], drawn.noise.double()], 1)
    correlation = np.corrcoef(columns.numpy().T)
    assert np.abs(correlation - np.eye(6)).max() < 5 / 20_000**0.5
    following = [np.corrcoef(column[1:], column[:-1])[0, 1] for column in columns.numpy().T]
    assert np.abs(following).max() < 5 / 20_000**0.5, "an image's draws follow from those of the one before"


def test_draws_are_a_function_of_seed_epoch_and_batch() -> None:
    augment = Augment()
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (2**31, 89, 9999)]
    drawn = {key: augment.draw(*key, 64) for key in keys}
    for key in reversed(keys):
        again = Augment().draw(*key, 64)
        assert all(torch.equal(a, b) for a, b in zip(again, drawn[key], strict=True))
    for part in range(3):
        assert len({each[part].numpy().tobytes() for each in drawn.values()}) == len(keys)


def test_draws_are_independent_of_global_generators() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = Augment().draw(0, 0, 0, 8)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(1)))
    assert np.random.random() == np.random.RandomState(1).random()
    assert torch.equal(Augment().draw(0, 0, 0, 8).noise, first.noise)


@pytest.mark.parametrize("count", [128, 100, 20])
def test_chunks_of_32_images_share_crop_and_reflection_if_set(count: int) -> None:
    """convdata_jpeg.py:77; noise is drawn per image. In 40 batches, all chunks differ."""
    chunks = []
    for batch in range(40):
        drawn = Augment(images_per_crop=32).draw(0, 0, batch, count)
        assert [len(part) for part in drawn] == [count] * 3
        places = torch.cat([drawn.offsets, drawn.flips[:, None]], 1)
        for chunk in places.split(32):
            assert (chunk == chunk[0]).all()
            chunks.append(tuple(chunk[0].tolist()))
        assert len(drawn.noise.unique(dim=0)) == count
    assert len(set(chunks)) > 0.8 * len(chunks)


def test_by_default_each_image_has_its_own_crop() -> None:
    drawn = Augment().draw(0, 0, 0, 128)
    assert len(drawn.offsets.unique(dim=0)) > 100


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


def test_validation_view_is_the_center_crop() -> None:
    """SOURCE_FACTS §4: single-view test = central 224, no flip."""
    images, mean = photographs(2, 256), uneven_mean(256)
    (view,) = make_augment(256, 224, mean).views(torch.from_numpy(images), "center")
    np.testing.assert_allclose(view.numpy(), (images - mean)[:, :, 16:240, 16:240], atol=1e-3)


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


def test_nine_views_are_a_grid_without_reflections() -> None:
    """convdata_cifar.py: three rows by three columns, 4 pixels apart, for 24 pixels of 32."""
    images, mean = photographs(2, 32), uneven_mean(32)
    views = list(make_augment(32, 24, mean).views(torch.from_numpy(images), "nine"))
    places = [(top, left) for top in (0, 4, 8) for left in (0, 4, 8)]
    wanted = [[cut(image, *place, 24, False) - mean[:, 4:28, 4:28] for image in images] for place in places]
    np.testing.assert_allclose(torch.stack(views).numpy(), np.array(wanted), rtol=1e-6, atol=1e-4)


def test_disabling_reflection_leaves_other_draws_unchanged() -> None:
    plain, reflected = (make_augment(32, 24, flip=flip).draw(1, 2, 3, 500) for flip in (False, True))
    assert not plain.flips.any()
    assert 200 < reflected.flips.sum() < 300
    assert torch.equal(plain.offsets, reflected.offsets)
    assert torch.equal(plain.noise, reflected.noise)


@pytest.mark.parametrize("mean", ["center", "per_position"])
def test_without_crops_and_reflections_training_sees_the_center_view_of_tests(mean: str) -> None:
    augment = make_augment(32, 24, noise=0, mean=mean, flip=False, random_crop=False)
    images = torch.from_numpy(photographs(40, 32))
    (center,) = augment.views(images, "center")
    torch.testing.assert_close(augment(images, augment.draw(1, 2, 3, 40)), center)
    usual = make_augment(32, 24).draw(1, 2, 3, 40)
    assert torch.equal(augment.draw(1, 2, 3, 40).noise, usual.noise)


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
