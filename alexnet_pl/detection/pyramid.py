"""Image pyramid (§3.3, §4.2): an image at several scales, and the windows of each scale."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.detection.boxes import Boxes
from alexnet_pl.models.sliding_window import WindowGeometry


def resize_image(image: Tensor, sides: tuple[int, int]) -> Tensor:
    """(3, H, W) uint8 → (1, 3, *sides) float32, 0 … 255, bilinear with antialiasing."""
    return F.interpolate(image[None].float(), sides, mode="bilinear", antialias=True)


def window_grid(window: WindowGeometry, sides: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of windows at the fine stride."""
    rows, columns = ((side - window.window) // window.fine_stride + 1 for side in sides)
    return rows, columns


def map_sides(window: WindowGeometry, sides: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the last convolution's maps that the windows of `window_grid` read."""
    cells = window.pool + window.pool_stride * (window.classifier - 1)  # of one window
    rows, columns = (count - 1 + cells for count in window_grid(window, sides))
    return rows, columns


def window_boxes(window: WindowGeometry, sides: tuple[int, int]) -> Boxes:
    """Windows of an image of `sides` (height, width), row by row: (rows · columns, 4) in its pixels."""
    rows, columns = window_grid(window, sides)
    y, x = np.divmod(np.arange(rows * columns), columns)
    corner = window.fine_stride * np.stack([x, y], 1).astype(np.float64)
    return np.hstack([corner, corner + window.window])


def rescale_boxes(boxes: Boxes, old: tuple[int, int], new: tuple[int, int]) -> Boxes:
    """Rescale boxes from an image of `old` (height, width) to one of `new`."""
    return boxes * np.array([new[1] / old[1], new[0] / old[0]] * 2)


def gather_windows(pooled: Tensor, window: WindowGeometry, numbers: Tensor) -> Tensor:
    """Gather the inputs of windows `numbers` from maps pooled at stride 1: (1, maps, h, w) → (n, maps, k, k)."""
    taps = window.pool_stride * torch.arange(window.classifier, device=pooled.device)
    columns = pooled.shape[3] - window.pool_stride * (window.classifier - 1)
    y, x = numbers.to(pooled.device) // columns, numbers.to(pooled.device) % columns
    return pooled[0][:, (y[:, None] + taps)[:, :, None], (x[:, None] + taps)[:, None]].transpose(0, 1)
