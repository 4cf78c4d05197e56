"""Boxes follow their image: crop, reflect and resize (n, 4) tensors of left, top, right, bottom edges in pixels."""

import torch
from torch import Tensor


def crop_boxes(boxes: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Boxes within a window of (height, width) whose corner is at (top, left), cut off at its edges.

    A box outside of the window becomes one without an extent; `has_area` finds those.
    """
    moved = boxes - torch.tensor([left, top, left, top], dtype=boxes.dtype)
    return clip_boxes(moved, height, width)


def clip_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes cut off at the edges of an image of (height, width)."""
    return torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height], dtype=boxes.dtype))


def flip_boxes(boxes: Tensor, width: int) -> Tensor:
    """Boxes of the image reflected left to right, which is `width` pixels wide."""
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([width - right, top, width - left, bottom], -1)


def resize_boxes(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Boxes of an image of `old` (height, width) after it is resized to `new`."""
    down, across = new[0] / old[0], new[1] / old[1]
    return boxes * torch.tensor([across, down, across, down], dtype=boxes.dtype)


def has_area(boxes: Tensor) -> Tensor:
    """(n,) bool: which boxes have an extent."""
    return (boxes[..., 2:] > boxes[..., :2]).all(-1)
