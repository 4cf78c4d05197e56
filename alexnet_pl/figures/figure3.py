"""Figure 3 (§7.1; §6.1 of 2012): first-layer kernels, GPU 1's 48 above GPU 2's, and their color selectivity."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.figures.style import Theme
from alexnet_pl.models.color_selectivity import ColorSelectivity
from alexnet_pl.models.filters import scale_to_unit_range, tile_kernels

PIXEL = 0.043  # inches


def draw_figure3(kernels: Tensor, shares: ColorSelectivity, theme: Theme) -> Figure:
    """Draw kernels (K, 3, h, w), one panel per GPU, zero in middle gray. `shares`: `color_selectivity`."""
    towers = len(shares["gpus"])
    pictures = [kernel_panel(half, theme) for half in scale_to_unit_range(kernels).chunk(towers)]
    height, width, _ = pictures[0].shape
    figure = Figure(figsize=(width * PIXEL, towers * (height * PIXEL + 0.3)), layout="constrained")
    panels = figure.subplots(towers, 1, squeeze=False)[:, 0]
    for number, (axes, picture, share) in enumerate(zip(panels, pictures, shares["gpus"], strict=True), 1):
        axes.imshow(picture, interpolation="none")
        axes.axis("off")
        name = f"GPU {number}: " if towers > 1 else ""
        axes.set_title(f"{name}{len(kernels) // towers} kernels, color share {share:.2f}", loc="left")
    return figure


def kernel_panel(tiles: Tensor, theme: Theme) -> np.ndarray:
    """Tile (K, 3, h, w) in 0 … 1 to (H, W, 3), with the page's color between kernels."""
    picture = tile_kernels(tiles, 1, 1, float("nan")).permute(1, 2, 0).numpy()
    return np.where(np.isnan(picture), np.array(to_rgb(theme.page)), picture)
