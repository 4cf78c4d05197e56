"""§7.1 and Figure 3: color selectivity of the first layer's kernels on the two GPUs.

"The kernels on GPU 1 are largely color-agnostic, while the kernels on GPU 2 are largely color-specific. This kind of
specialization occurs during every run and is independent of any particular random weight initialization (modulo a
renumbering of the GPUs)." The paper does not measure this. Here it is measured by the color share.

The gray part of a kernel w is its mean over red, green and blue; the rest is its color. The color share is
|w − gray(w)|² / |w|². It is 0 for a kernel that responds to brightness alone, 1 for one that responds to color
differences alone, and 2/3 on average for independent normal weights, such as the initial ones. The share of one GPU is
the same ratio of sums over its kernels, so faint kernels count little. A permutation test compares the two GPUs: how
often a random split of the kernels into halves differs by at least as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PERMUTATIONS = 99_999  # random splits into halves; a p value of 0.05 has a standard error of 0.0007


@dataclass(frozen=True, kw_only=True)
class KernelColors:
    """Record in kernels.json: sums of squares of each kernel's color and of the whole kernel, GPU 1's kernels first.

    `towers`: number of GPUs that the kernels are divided over.
    """

    towers: int
    color: list[float]
    total: list[float]

    def __post_init__(self) -> None:
        if self.towers not in (1, 2) or len(self.color) != len(self.total) or len(self.color) % self.towers:
            raise ValueError(f"{len(self.color)} and {len(self.total)} kernels, towers={self.towers}: not of a network")

    @property
    def gpus(self) -> list[float]:
        """Color share of each GPU."""
        parts = (np.split(np.array(values), self.towers) for values in (self.color, self.total))
        return [color_share(*half) for half in zip(*parts, strict=True)]


class ColorSelectivity(TypedDict):
    """Color shares of each GPU and each kernel, from 0 to 1; with two towers also the difference of the GPUs and its
    p-value under a permutation test."""

    gpus: list[float]
    kernels: list[float]
    difference: NotRequired[float]
    p: NotRequired[float]


def measure_colors(kernels: "Tensor", towers: int) -> KernelColors:
    """Sums of squares of kernels (K, 3, h, w), in float64."""
    w = kernels.detach().cpu().double()  # an Apple GPU has no float64
    color = w - w.mean(1, keepdim=True)
    return KernelColors(
        towers=towers, color=color.square().sum((1, 2, 3)).tolist(), total=w.square().sum((1, 2, 3)).tolist()
    )


def color_share(color: np.ndarray, total: np.ndarray) -> float:
    return float(color.sum() / total.sum()) if total.any() else 0.0


def color_selectivity(kernels: "Tensor", towers: int) -> ColorSelectivity:
    """Compute the color shares of kernels (K, 3, h, w) in `towers` equal groups (§7.1, Figure 3)."""
    colors = measure_colors(kernels, towers)
    per_kernel = [color_share(*map(np.array, kernel)) for kernel in zip(colors.color, colors.total, strict=True)]
    shares: ColorSelectivity = {"gpus": colors.gpus, "kernels": per_kernel}
    if towers == 1:
        return shares
    return {"difference": colors.gpus[1] - colors.gpus[0], "p": permutation_p_value([colors]), **shares}


def permutation_p_value(runs: Sequence[KernelColors]) -> float:
    """p value of the hypothesis that kernels are divided over the two GPUs at random, in one or more runs.

    It is the fraction of random splits into halves, the actual one included, whose shares differ at least as much; over
    several runs, whose sum of differences is as large. Signs do not count, since GPUs may be renumbered.
    """
    return p_value_of_splits(split_runs(runs))


def p_value_of_splits(differences: np.ndarray) -> float:
    """The p value of `permutation_p_value` from the differences of `split_runs`."""
    sums = differences.sum(0)
    return float(np.mean(sums >= sums[0] - 1e-12))


def split_runs(runs: Sequence[KernelColors]) -> np.ndarray:
    """(runs, splits): `split_differences` of each run, with splits of its own."""
    return np.stack([split_differences(colors, seed) for seed, colors in enumerate(runs)])


def split_differences(colors: KernelColors, seed: int = 0) -> np.ndarray:
    """(splits,) absolute differences of the halves' color shares: the actual split, then random ones."""
    generator, count = np.random.default_rng(seed), len(colors.color)
    orders = np.stack([np.arange(count), *(generator.permutation(count) for _ in range(PERMUTATIONS))])
    color, total = (
        np.array(values)[orders].reshape(len(orders), 2, -1).sum(2) for values in (colors.color, colors.total)
    )
    shares = np.divide(color, total, out=np.zeros_like(color), where=total > 0)
    return np.abs(shares[:, 1] - shares[:, 0])
