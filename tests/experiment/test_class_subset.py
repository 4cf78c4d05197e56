"""Networks restricted to some of their outputs, against their logits without the others."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from alexnet_pl.experiment.class_subset import restrict_outputs
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.overfeat import OverFeat

ROWS = [7, 2, 4]
NETWORKS = {
    "alexnet": lambda: (AlexNet(num_classes=10, crop=67), 67),
    "overfeat": lambda: (OverFeat(10, 113, net="accurate", width=0.02), 113),  # its last layer is a convolution
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_outputs_kept(name: str) -> None:
    torch.manual_seed(0)
    network, side = NETWORKS[name]()
    for weight in network.parameters():  # those of the start would give OverFeat logits of 1e-13
        torch.nn.init.normal_(weight, std=0.1)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    module: Any = SimpleNamespace(net=network.eval(), classes=[str(number) for number in range(10)])
    with torch.inference_mode():
        whole = network(images)
    restrict_outputs(module, ROWS)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), whole[:, ROWS], rtol=1e-4, atol=0)
    assert network.num_classes == 3
    assert module.classes == ["7", "2", "4"]
