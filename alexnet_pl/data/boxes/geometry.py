"""Reflect boxes with their image: (n, 4) tensors of left, top, right, bottom edges in pixels."""

import torch
from torch import Tensor


def flip_boxes(boxes: Tensor, width: int) -> Tensor:
    """Boxes of an image `width` pixels wide after it is reflected left to right."""
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([width - right, top, width - left, bottom], -1)
