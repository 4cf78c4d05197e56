"""First-layer kernels as the tiles of Figure 3, and their color selectivity against explicit sums."""

import numpy as np
import pytest
import torch
from scipy import stats

from alexnet_pl.models.filters import (
    color_energies,
    color_selectivity,
    color_share,
    draw_filters,
    largest_filters,
    scale_to_unit_range,
)


def test_kernels_are_in_rows_of_sixteen_with_gpu_1_on_top() -> None:
    """Figure 3: "The top 48 kernels were learned on GPU 1 while the bottom 48 … on GPU 2"."""
    kernels = torch.zeros(96, 3, 11, 11)
    kernels[48:, 2] = 1.0  # GPU 2's are blue
    picture = draw_filters(kernels)
    tiles = picture[:, 4:].unfold(1, 44, 48).unfold(2, 48, 48)  # rows of tiles, without the lines between them
    assert picture.shape == (3, 6 * 48 + 4, 16 * 48 + 4)
    for row in range(6):
        inside = tiles[:, row, 3, 20, 24]
        assert inside.tolist() == ([0.5, 0.5, 1.0] if row >= 3 else [0.5, 0.5, 0.5])


def test_kernels_share_one_scale_centered_at_zero() -> None:
    kernels = torch.zeros(16, 3, 11, 11)
    kernels[0, :, :, :5], kernels[1, 2, 5, 5], kernels[2, 0, 0, 0] = 0.5, -0.25, 900.0
    found = scale_to_unit_range(kernels)
    assert found[0, 1, 3, 4] == 1  # 165 of 5,808 weights, so the clipped thousandth is among them
    assert found[1, 2, 5, 5] == 0.25
    assert found[2, 0, 0, 0] == 1  # clipped, and does not dim the others
    assert found[3].unique().tolist() == [0.5]
    assert torch.isfinite(scale_to_unit_range(torch.zeros(2, 3, 5, 5))).all()


def test_color_selectivity_is_the_share_that_is_not_gray() -> None:
    kernels = torch.randn(4, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    kernels[0] = kernels[0, :1]  # grey
    kernels[1] -= kernels[1].mean(0)  # only differences between colours
    shares = color_selectivity(kernels, 1)["kernels"]
    assert shares[0] == pytest.approx(0, abs=1e-12)
    assert shares[1] == pytest.approx(1)
    for kernel, found in zip(kernels[2:].double().numpy(), shares[2:], strict=True):
        grey = sum((kernel[:, y, x].sum() / 3) ** 2 * 3 for y in range(11) for x in range(11))
        assert found == pytest.approx(1 - grey / sum(v**2 for v in kernel.ravel()))


def test_random_kernels_are_two_thirds_color() -> None:
    found = color_selectivity(torch.randn(96, 3, 11, 11, generator=torch.Generator().manual_seed(1)), 2)
    assert found["gpus"] == pytest.approx([2 / 3, 2 / 3], abs=0.01)
    assert found["p"] > 0.05


def test_permutation_p_value_matches_scipy() -> None:
    generator = torch.Generator().manual_seed(2)
    kernels = torch.randn(96, 3, 11, 11, generator=generator)
    kernels[:48] += 2 * torch.randn(48, 1, 11, 11, generator=generator)  # GPU 1's kernels are mostly grey
    found = color_selectivity(kernels, 2)
    assert found["gpus"][0] < 0.4 < 0.6 < found["gpus"][1]
    assert found["difference"] == pytest.approx(found["gpus"][1] - found["gpus"][0])
    assert found["p"] == pytest.approx(1e-4)  # the observed value among 10,000
    mixed = kernels[torch.randperm(96, generator=generator)]
    colour, whole = color_energies(mixed)

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return abs(
            color_share(colour[one.astype(int)], whole[one.astype(int)])
            - color_share(colour[other.astype(int)], whole[other.astype(int)])
        )

    ranks = np.arange(96.0)
    wanted = stats.permutation_test(
        (ranks[:48], ranks[48:]), distance, n_resamples=4000, alternative="greater", rng=np.random.default_rng(0)
    )
    assert color_selectivity(mixed, 2)["p"] == pytest.approx(wanted.pvalue, abs=0.03)


def test_single_tower_and_zero_kernels_are_handled() -> None:
    found = color_selectivity(torch.zeros(48, 3, 11, 11), 1)
    assert found["gpus"] == [0.0]
    assert "p" not in found


def test_largest_filters_are_chosen_per_tower() -> None:
    kernels = torch.zeros(8, 3, 5, 5)
    for number, weight in enumerate([1, 9, 3, 4, 5, 6, 100, 50]):
        kernels[number] = weight
    assert largest_filters(kernels, 2, 2).tolist() == [1, 3, 6, 7]
    assert largest_filters(kernels, 1, 3).tolist() == [6, 7, 1]
