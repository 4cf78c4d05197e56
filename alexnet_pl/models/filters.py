"""Picture of the first layer's kernels (Figure 3), and how far its two halves specialise in color (§7.1).

"The kernels on GPU 1 are largely color-agnostic, while the kernels on GPU 2 are largely color-specific. This kind of
specialization occurs during every run and is independent of any particular random weight initialization (modulo a
renumbering of the GPUs)." The paper measures none of it; here it is measured so:

The colour of a kernel w, three numbers a pixel, is what is left of it without its grey part, the mean over red, green
and blue. Its colour share is |w − grey(w)|² / |w|²: 0 of a kernel that sees brightness alone, 1 of one that sees
differences between colours alone, and 2/3 on average of independent normal numbers, such as the initial weights. The
share of a half is the same ratio of sums over its kernels, so that kernels that have stayed faint count for little. How
often a random division of the kernels into two such halves sets them as far apart tells whether the two GPUs differ.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import make_grid

ROW = 16  # kernels, so that Figure 3's 96 are six rows, three a GPU
TRIALS = 9999  # random divisions


def scaled(kernels: Tensor) -> Tensor:
    """(K, 3, h, w) → the same from 0 to 1, all by one scale, so that faint ones look faint: zero is the middle grey.

    One weight in a thousand lies beyond the scale and is cut, or a single one would dim all others.
    """
    kernels = kernels.detach().float().cpu()
    reach = kernels.abs().flatten().quantile(0.999).clamp_min(torch.finfo(torch.float32).tiny)
    return (kernels / reach / 2 + 0.5).clamp(0, 1)


def grid(tiles: Tensor, zoom: int, line: int, fill: float) -> Tensor:
    """(K, 3, h, w) → (3, H, W), each pixel `zoom` wide, `line` pixels of `fill` between kernels."""
    tiles = tiles.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    return make_grid(tiles, nrow=ROW, padding=line, pad_value=fill)


def draw_filters(kernels: Tensor, zoom: int = 4) -> Tensor:
    """(K, 3, 11, 11) → an image (3, H, W) from 0 to 1, 16 kernels a row: the upper half of the 96 are GPU 1's."""
    return grid(scaled(kernels), zoom, zoom, 1.0)


def largest_filters(kernels: Tensor, towers: int, count: int) -> Tensor:
    """Numbers of each tower's `count` kernels of the largest sums of squares, GPU 1's first."""
    weights = kernels.detach().float().cpu().square().sum((1, 2, 3)).view(towers, -1)
    starts = torch.arange(towers)[:, None] * weights.shape[1]
    return (weights.topk(min(count, weights.shape[1])).indices + starts).flatten()


def color_energies(kernels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(K, 3, h, w) → (K,) float64: sums of squares of each kernel's colour and of the whole kernel."""
    w = kernels.detach().double().cpu()
    colour = w - w.mean(1, keepdim=True)
    return colour.square().sum((1, 2, 3)).numpy(), w.square().sum((1, 2, 3)).numpy()


def color_share(colour: np.ndarray, whole: np.ndarray) -> float:
    return float(colour.sum() / whole.sum()) if whole.any() else 0.0


def color_selectivity(kernels: Tensor, towers: int) -> dict[str, Any]:
    """Colour shares of the halves (`gpus`) and of each kernel; for two towers their distance and how often chance gives
    as much (`p`, a permutation test)."""
    colour, whole = color_energies(kernels)
    gpus = [color_share(*half) for half in zip(np.split(colour, towers), np.split(whole, towers), strict=True)]
    each = [color_share(*one) for one in zip(colour[:, None], whole[:, None], strict=True)]
    found = {"gpus": gpus, "kernels": each}
    return found if towers == 1 else {"difference": gpus[1] - gpus[0], "p": permutation_p_value(colour, whole), **found}


def permutation_p_value(colour: np.ndarray, whole: np.ndarray) -> float:
    """Share of random divisions into halves, the one at hand included, that are at least as far apart."""
    half, generator = len(colour) // 2, np.random.default_rng(0)
    orders = [np.arange(len(colour)), *(generator.permutation(len(colour)) for _ in range(TRIALS))]
    apart = [
        abs(color_share(colour[o[:half]], whole[o[:half]]) - color_share(colour[o[half:]], whole[o[half:]]))
        for o in orders
    ]
    return float(np.mean(np.array(apart) >= apart[0] - 1e-12))
