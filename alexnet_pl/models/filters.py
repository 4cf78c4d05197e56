"""First-layer kernels as an image (Figure 3)."""

import torch
from torch import Tensor
from torchvision.utils import make_grid

KERNELS_PER_ROW = 16  # so that Figure 3's 96 kernels are six rows, three per GPU


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


def draw_filters(kernels: Tensor) -> Tensor:
    """Draw kernels (K, 3, 11, 11) as an image (3, H, W) in 0 … 1, 16 per row; GPU 1's are in the upper half."""
    return tile_kernels(scale_to_unit_range(kernels), 4, 4, 1.0)


def largest_filters(kernels: Tensor, towers: int, count: int) -> Tensor:
    """Indices of the `count` kernels of each tower with the largest sums of squares, GPU 1's first."""
    energies = kernels.detach().float().cpu().square().sum((1, 2, 3)).view(towers, -1)
    starts = torch.arange(towers)[:, None] * energies.shape[1]
    return (energies.topk(min(count, energies.shape[1])).indices + starts).flatten()
