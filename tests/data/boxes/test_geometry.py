"""Boxes under reflection, against torchvision's tv_tensors."""

import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from alexnet_pl.data.boxes.geometry import flip_boxes

HEIGHT, WIDTH = 40, 60
CORNERS = torch.tensor([[0, 0, 60, 40], [5, 6, 20, 30], [30, 10, 59, 12], [50, 30, 60, 40]], dtype=torch.float32)


def boxes() -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(CORNERS.clone(), format="XYXY", canvas_size=(HEIGHT, WIDTH))  # type: ignore[call-overload]


def test_reflection_swaps_left_and_right() -> None:
    assert torch.equal(flip_boxes(CORNERS, WIDTH), functional.horizontal_flip(boxes()).as_subclass(torch.Tensor))
