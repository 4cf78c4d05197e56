"""Crop, reflect and resize boxes with their image: (n, 4) tensors of left, top, right, bottom edges in pixels."""

import torch
from torch import Tensor


def crop_boxes(boxes: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Boxes relative to a (height, width) window with its corner at (top, left), clipped to it.

    A box outside the window becomes one without area; `has_area` tells them apart.
    """
    moved = boxes - torch.tensor([left, top, left, top], dtype=boxes.dtype)
    return clip_boxes(moved, height, width)


def clip_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Clip boxes to an image of (height, width)."""
    return torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height], dtype=boxes.dtype))


def flip_boxes(boxes: Tensor, width: int) -> Tensor:
    """Boxes of an image `width` pixels wide after it is reflected left to right."""
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([width - right, top, width - left, bottom], -1)


def has_area(boxes: Tensor) -> Tensor:
    """(n,) bool: whether each box has an area."""
    return (boxes[..., 2:] > boxes[..., :2]).all(-1)
