"""Images of another shape than the network was built for."""

import re

import pytest
import torch

from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import ConvNet, LocalNet


@pytest.mark.parametrize("net", [AlexNet(3, crop=67, width=0.02), ConvNet(3), LocalNet(3)])
def test_images_of_another_size_are_refused_with_the_crop(net: AlexNet | ConvNet | LocalNet) -> None:
    crop = net.crop
    assert net(torch.zeros(2, 3, crop, crop)).shape == (2, 3)
    for shape in ((2, 3, crop + 1, crop + 1), (3, crop, crop), (2, 1, crop, crop)):
        built = rf"the network was built for \(N, 3, {crop}, {crop}\)$"
        with pytest.raises(ValueError, match=rf"^images of shape {re.escape(str(shape))}: {built}"):
            net(torch.zeros(shape))


def test_check_of_the_size_leaves_a_graph_with_any_number_of_images() -> None:
    net = AlexNet(3, crop=67, width=0.02).eval()
    shapes = {"image": {0: torch.export.Dim("batch", min=1)}}
    program = torch.export.export(net, (torch.zeros(2, 3, 67, 67),), dynamic_shapes=shapes).module()
    assert program(torch.zeros(5, 3, 67, 67)).shape == (5, 3)
