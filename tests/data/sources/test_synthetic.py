"""Drawn images: repeatable, with the full range of pixel values; no class changes under reflection (§4.1)."""

import numpy as np
import pytest

from alexnet_pl.data.sources import synthetic


def batch(count: int, seed: int = 0) -> np.ndarray:
    """The first `count` images as float, (count, 3, 128, 128)."""
    return np.stack([synthetic.draw_image(index, seed=seed)[0] for index in range(count)]).astype(np.float64)


def lean(images: np.ndarray) -> np.ndarray:
    """Mean product of the slopes in x and y over their mean square; its sign distinguishes +45 from −45 degrees."""
    across = images[..., 1:-1, 2:] - images[..., 1:-1, :-2]
    down = images[..., 2:, 1:-1] - images[..., :-2, 1:-1]
    return (across * down).mean((1, 2, 3)) / (across**2 + down**2).mean((1, 2, 3))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return batch(600)


def test_image_depends_only_on_seed_and_index():
    first, label = synthetic.draw_image(37, seed=5)
    np.random.seed(1)
    synthetic.draw_image(38, seed=5)
    again, same_label = synthetic.draw_image(37, seed=5)
    assert np.array_equal(first, again)
    assert label == same_label
    assert np.random.random() == np.random.RandomState(1).random(), "the global generator was used"


def test_seeds_and_indices_give_different_images_of_one_class():
    drawn = [synthetic.draw_image(index, seed=seed) for seed in (0, 1) for index in (4, 14)]
    assert {label for _, label in drawn} == {4}
    assert len({image.tobytes() for image, _ in drawn}) == 4


@pytest.mark.parametrize("size", [32, 63, 128])
def test_images_are_uint8_of_the_requested_size(size):
    image, _ = synthetic.draw_image(3, size=size)
    assert image.shape == (3, size, size)
    assert image.dtype == np.uint8


def test_stripe_width_does_not_depend_on_image_size():
    """Strongest frequency of an upright grating, in cycles per pixel, from the Fourier transform of its rows. If
    stripes scaled with the image, the ratio would be 1/2."""
    ratios = []
    for index in range(0, 400, 10):
        peaks = []
        for size in (64, 128):
            rows = synthetic.draw_image(index, size=size)[0].astype(float).mean(0)
            power = np.abs(np.fft.rfft(rows - rows.mean(), n=1024, axis=1)) ** 2
            peaks.append(power.sum(0)[36:].argmax() + 36)  # excludes illumination and patch
        ratios.append(peaks[1] / peaks[0])
    assert np.median(ratios) == pytest.approx(1, abs=0.1)


def test_pixels_use_the_full_range(images):
    low, high = np.percentile(images, [1, 99])
    assert low < 30
    assert high > 220
    assert 100 < images.mean() < 155
    assert np.mean((images == 0) | (images == 255)) < 0.05, "too much is clipped"
    assert (images.std((1, 2, 3)) > 15).all(), "an image is nearly blank"


def test_noise_has_the_spectrum_of_natural_images():
    """1/f noise looks the same at every scale: differences of neighboring block means do not depend on the block size.

    This test needs no Fourier transform. White noise would lose a factor of 4 of variance per doubling of the block.
    """
    rng = np.random.default_rng(0)
    noise = np.concatenate([synthetic.natural_noise(rng, 128) for _ in range(30)])
    assert abs(noise.mean()) < 1e-3
    assert abs(noise.var() - 1) < 0.03
    variances = []
    for block in (2, 4, 8, 16):
        means = noise.reshape(len(noise), 128 // block, block, 128 // block, block).mean((2, 4))
        variances.append(np.mean((means[..., ::2] - means[..., 1::2]) ** 2))
    assert max(variances) / min(variances) < 1.2


def test_every_class_appears_equally_often():
    labels = [synthetic.draw_image(index, size=16)[1] for index in range(100)]
    assert np.array_equal(np.bincount(labels), np.full(10, 10))
    assert [identifier for identifier, _ in synthetic.CLASSES] == [f"d{label:02d}" for label in range(10)]


def test_no_class_has_a_preferred_direction(images):
    """Reflection only flips the sign of the lean, so both signs must be equally likely within a class."""
    assert np.allclose(lean(images[:20, ..., ::-1]), -lean(images[:20]))
    for label in range(10):
        leans = lean(images[label::10])
        assert abs(leans.mean()) < 3.5 * leans.std() / np.sqrt(len(leans)), synthetic.CLASSES[label]


def test_vertical_and_horizontal_gratings_differ_in_gradient_direction(images):
    across, down = (np.abs(np.diff(images, axis=axis)).mean((1, 2, 3)) for axis in (3, 2))
    assert np.mean(across[0::10] > down[0::10]) > 0.95
    assert np.mean(across[1::10] < down[1::10]) > 0.95


def test_blob_classes_differ_in_color_channel(images):
    red, green, blue = images.transpose(1, 0, 2, 3)
    red_green, blue_yellow = (red - green).std((1, 2)), (blue - (red + green) / 2).std((1, 2))
    assert np.mean(red_green[5::10] > blue_yellow[5::10]) > 0.9
    assert np.mean(red_green[6::10] < blue_yellow[6::10]) > 0.9
