"""Random draws of augmentation (§5.1): offsets, reflections and noise, from seed, epoch and batch alone."""

import numpy as np
import pytest
import torch
from augmented import SIZES, make_augment

from alexnet_pl.data.loading.augment import Augment


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


def test_disabling_reflection_leaves_other_draws_unchanged() -> None:
    plain, reflected = (make_augment(32, 24, flip=flip).draw(1, 2, 3, 500) for flip in (False, True))
    assert not plain.flips.any()
    assert 200 < reflected.flips.sum() < 300
    assert torch.equal(plain.offsets, reflected.offsets)
    assert torch.equal(plain.noise, reflected.noise)
