"""Box geometry under crop, reflection and resize, against torchvision's tv_tensors."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from alexnet_pl.data.boxes.geometry import crop_boxes, flip_boxes, has_area

HEIGHT, WIDTH = 40, 60
CORNERS = torch.tensor([[0, 0, 60, 40], [5, 6, 20, 30], [30, 10, 59, 12], [50, 30, 60, 40]], dtype=torch.float32)


def boxes() -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(CORNERS.clone(), format="XYXY", canvas_size=(HEIGHT, WIDTH))  # type: ignore[call-overload]


@pytest.mark.parametrize("window", [(0, 0, 40, 60), (8, 4, 20, 20), (12, 35, 20, 20), (20, 40, 20, 20)])
def test_crop_moves_and_clips_boxes(window: tuple[int, int, int, int]) -> None:
    expected = functional.crop(boxes(), *window).as_subclass(torch.Tensor)
    found = crop_boxes(CORNERS, *window)
    inside = has_area(found)
    assert torch.equal(found[inside], expected[inside])
    area = (expected[:, 2:] - expected[:, :2]).clamp(min=0).prod(1)
    assert torch.equal(inside, area > 0)


def test_reflection_swaps_left_and_right() -> None:
    assert torch.equal(flip_boxes(CORNERS, WIDTH), functional.horizontal_flip(boxes()).as_subclass(torch.Tensor))
