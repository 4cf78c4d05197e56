"""Color selectivity of the first layer's kernels (Figure 3) against explicit sums and SciPy's permutation test."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from alexnet_pl.models.color_selectivity import (
    KernelColors,
    color_selectivity,
    color_share,
    measure_colors,
    permutation_p_value,
    split_differences,
)


def test_color_selectivity_is_the_share_that_is_not_gray() -> None:
    kernels = torch.randn(4, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    kernels[0] = kernels[0, :1]  # gray
    kernels[1] -= kernels[1].mean(0)  # only differences between colors
    shares = color_selectivity(kernels, 1)["kernels"]
    assert shares[0] == pytest.approx(0, abs=1e-12)
    assert shares[1] == pytest.approx(1)
    for kernel, found in zip(kernels[2:].double().numpy(), shares[2:], strict=True):
        gray = sum((kernel[:, y, x].sum() / 3) ** 2 * 3 for y in range(11) for x in range(11))
        assert found == pytest.approx(1 - gray / sum(v**2 for v in kernel.ravel()))


def test_random_kernels_are_two_thirds_color() -> None:
    found = color_selectivity(torch.randn(96, 3, 11, 11, generator=torch.Generator().manual_seed(1)), 2)
    assert found["gpus"] == pytest.approx([2 / 3, 2 / 3], abs=0.01)
    assert found["p"] > 0.05


def test_permutation_p_value_matches_scipy() -> None:
    generator = torch.Generator().manual_seed(2)
    kernels = torch.randn(96, 3, 11, 11, generator=generator)
    kernels[:48] += 2 * torch.randn(48, 1, 11, 11, generator=generator)  # GPU 1's kernels are mostly gray
    found = color_selectivity(kernels, 2)
    assert found["gpus"][0] < 0.4 < 0.6 < found["gpus"][1]
    assert found["difference"] == pytest.approx(found["gpus"][1] - found["gpus"][0])
    assert found["p"] == pytest.approx(1e-5)  # the observed value among 100,000
    mixed = kernels[torch.randperm(96, generator=generator)]
    colors = measure_colors(mixed, 2)
    color, whole = np.array(colors.color), np.array(colors.total)

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return abs(
            color_share(color[one.astype(int)], whole[one.astype(int)])
            - color_share(color[other.astype(int)], whole[other.astype(int)])
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


SPECIALIZED = KernelColors(towers=2, color=[0.0, 0.1, 0.2, 0.7, 0.9, 1.0], total=[1.0] * 6)
MIXED = KernelColors(towers=2, color=[0.9, 0.1, 0.2, 0.7, 0.0, 1.0], total=[1.0, 2.0, 1.0, 1.0, 1.0, 3.0])


def exact_differences(colors: KernelColors) -> list[float]:
    """Absolute difference of the shares for each of the 20 splits of six kernels into halves."""
    color, total = np.array(colors.color), np.array(colors.total)
    halves = itertools.combinations(range(6), 3)
    pairs = [(list(one), [kernel for kernel in range(6) if kernel not in one]) for one in halves]
    return [abs(color[a].sum() / total[a].sum() - color[b].sum() / total[b].sum()) for a, b in pairs]


def test_p_value_of_several_runs_counts_pairs_of_splits() -> None:
    """The exact value of two runs: of all 20 × 20 pairs of splits, those whose differences sum to at least as much."""
    one, other = exact_differences(SPECIALIZED), exact_differences(MIXED)
    exact = np.mean([a + b >= one[0] + other[0] - 1e-12 for a in one for b in other])
    assert permutation_p_value([SPECIALIZED, MIXED]) == pytest.approx(exact, abs=0.01)
    assert permutation_p_value([SPECIALIZED]) == pytest.approx(2 / 20, abs=0.01)
    assert permutation_p_value([SPECIALIZED] * 3) == pytest.approx(1 / 1000, abs=0.001)


def test_renumbered_gpus_have_the_same_p_value() -> None:
    swapped = KernelColors(towers=2, color=SPECIALIZED.color[::-1], total=SPECIALIZED.total[::-1])
    assert swapped.gpus == pytest.approx(SPECIALIZED.gpus[::-1])
    assert permutation_p_value([SPECIALIZED, swapped]) == pytest.approx(1 / 100, abs=0.003)


def test_differences_by_chance_are_those_of_all_splits() -> None:
    assert split_differences(MIXED)[0] == pytest.approx(abs(1.2 / 4 - 1.7 / 5))
    assert split_differences(MIXED)[1:].mean() == pytest.approx(np.mean(exact_differences(MIXED)), abs=0.01)


@pytest.mark.parametrize(("towers", "color"), [(2, [1.0]), (1, [1.0, 2.0]), (3, [1.0]), (0, [1.0])])
def test_record_of_other_numbers_of_kernels_is_refused(towers: int, color: list[float]) -> None:
    with pytest.raises(ValueError, match="not of a network"):
        KernelColors(towers=towers, color=color, total=[1.0])
