"""Receptive fields against hand calculation and against perturbed pixels."""

import pytest
import torch

from alexnet_pl.models.activations import layer_outputs
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.receptive_field import receptive_fields

BY_HAND = {  # size, stride, start
    "conv1": (11, 4, 0),
    "conv2": (51, 8, -16),  # pool1: 19 by 8; 19 + 4 · 8, 2 · 8 of padding
    "conv3": (99, 16, -32),  # pool2: 67 by 16; 67 + 2 · 16, one cell of padding
    "conv4": (131, 16, -48),
    "conv5": (163, 16, -64),
    "conv6": (259, 32, -96),  # pool5: 195 by 32
}


def test_alexnet_receptive_fields_match_hand_calculation() -> None:
    found = receptive_fields(AlexNet(num_classes=3, width=0.05, conv6=True).eval(), 224)
    assert {name: tuple(field) for name, field in found.items()} == BY_HAND


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "conv5"])
def test_only_pixels_in_the_receptive_field_change_a_unit(layer: str) -> None:
    torch.manual_seed(0)
    net = AlexNet(num_classes=3, width=0.05, norm=False).double().eval()
    field = receptive_fields(net, 224)[layer]
    image = torch.randn(1, 3, 224, 224, dtype=torch.float64) * 60
    before = layer_outputs(net, image, [layer])[layer]
    unit = before.shape[2] // 2 - 1
    first = field.first_pixel(unit)
    last = first + field.size
    assert 0 <= first < last <= 224
    outside = torch.randn_like(image) * 60
    outside[:, :, first:last, first:last] = image[:, :, first:last, first:last]
    after = layer_outputs(net, outside, [layer])[layer]
    assert torch.equal(after[:, :, unit, unit], before[:, :, unit, unit])
    for row, column in ((first, first), (last - 1, last - 1)):
        changed = image.clone()
        changed[:, :, row, column] += torch.tensor([1e6, -1e6, 2e6], dtype=torch.float64)
        there = layer_outputs(net, changed, [layer])[layer][:, :, unit, unit]
        assert not torch.equal(there, before[:, :, unit, unit]), (row, column)
