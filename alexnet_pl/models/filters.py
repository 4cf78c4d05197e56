"""First-layer kernels as an image (Figure 3), and the colour selectivity of the two GPUs' halves (§7.1).

"The kernels on GPU 1 are largely color-agnostic, while the kernels on GPU 2 are largely color-specific. This kind of
specialization occurs during every run and is independent of any particular random weight initialization (modulo a
renumbering of the GPUs)." The paper does not measure this. Here it is measured by the colour share.

The grey part of a kernel w is its mean over red, green and blue; the rest is its colour. The colour share is
|w − grey(w)|² / |w|². It is 0 for a kernel that responds to brightness alone, 1 for one that responds to colour
differences alone, and 2/3 on average for independent normal weights, such as the initial ones. The share of one GPU is
the same ratio of sums over its kernels, so faint kernels count little. A permutation test compares the two GPUs: how
often a random split of the kernels into halves differs by at least as much.
"""

from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import make_grid

KERNELS_PER_ROW = 16  # so that Figure 3's 96 kernels are six rows, three per GPU
PERMUTATIONS = 9999  # random splits into halves


def scale_to_unit_range(kernels: Tensor) -> Tensor:
    """Scale kernels (K, 3, h, w) to 0 … 1 with one common factor, so that faint kernels look faint; 0 becomes 0.5.

    The largest 0.1 % of the weights are clipped: a single outlier would otherwise dim all other kernels.
    """
    kernels = kernels.detach().float().cpu()
    limit = kernels.abs().flatten().quantile(0.999).clamp_min(torch.finfo(torch.float32).tiny)
    return (kernels / limit / 2 + 0.5).clamp(0, 1)


def tile_kernels(tiles: Tensor, zoom: int, line: int, fill: float) -> Tensor:
    """Tile (K, 3, h, w) into (3, H, W): each pixel `zoom` wide, `line` pixels of value `fill` between kernels."""
    tiles = tiles.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    return make_grid(tiles, nrow=KERNELS_PER_ROW, padding=line, pad_value=fill)


def draw_filters(kernels: Tensor, zoom: int = 4) -> Tensor:
    """Draw kernels (K, 3, 11, 11) as an image (3, H, W) in 0 … 1, 16 per row; GPU 1's are in the upper half."""
    return tile_kernels(scale_to_unit_range(kernels), zoom, zoom, 1.0)


def largest_filters(kernels: Tensor, towers: int, count: int) -> Tensor:
    """Indices of the `count` kernels of each tower with the largest sums of squares, GPU 1's first."""
    energies = kernels.detach().float().cpu().square().sum((1, 2, 3)).view(towers, -1)
    starts = torch.arange(towers)[:, None] * energies.shape[1]
    return (energies.topk(min(count, energies.shape[1])).indices + starts).flatten()


def color_energies(kernels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares of each kernel's colour and of the whole kernel: (K, 3, h, w) → two (K,) float64."""
    w = kernels.detach().double().cpu()
    color = w - w.mean(1, keepdim=True)
    return color.square().sum((1, 2, 3)).numpy(), w.square().sum((1, 2, 3)).numpy()


def color_share(color: np.ndarray, total: np.ndarray) -> float:
    return float(color.sum() / total.sum()) if total.any() else 0.0


class ColorSelectivity(TypedDict):
    """Color shares of each GPU and each kernel, from 0 to 1; with two towers also the difference of the GPUs and its
    p-value under a permutation test."""

    gpus: list[float]
    kernels: list[float]
    difference: NotRequired[float]
    p: NotRequired[float]


def color_selectivity(kernels: Tensor, towers: int) -> ColorSelectivity:
    """Compute the color shares of kernels (K, 3, h, w) in `towers` equal groups (§6.1, Figure 3)."""
    color, total = color_energies(kernels)
    gpus = [color_share(*half) for half in zip(np.split(color, towers), np.split(total, towers), strict=True)]
    per_kernel = [color_share(*kernel) for kernel in zip(color[:, None], total[:, None], strict=True)]
    shares: ColorSelectivity = {"gpus": gpus, "kernels": per_kernel}
    if towers == 1:
        return shares
    return {"difference": gpus[1] - gpus[0], "p": permutation_p_value(color, total), **shares}


def permutation_p_value(color: np.ndarray, total: np.ndarray) -> float:
    """Fraction of random splits into halves, the actual one included, whose shares differ at least as much."""
    half, generator = len(color) // 2, np.random.default_rng(0)
    orders = [np.arange(len(color)), *(generator.permutation(len(color)) for _ in range(PERMUTATIONS))]
    distances = [
        abs(
            color_share(color[order[:half]], total[order[:half]])
            - color_share(color[order[half:]], total[order[half:]])
        )
        for order in orders
    ]
    return float(np.mean(np.array(distances) >= distances[0] - 1e-12))
