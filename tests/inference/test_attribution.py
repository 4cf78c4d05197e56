"""Occlusion of a linear network by hand, Grad-CAM's formula in float64, feature visualization."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.errors import UserError
from alexnet_pl.inference.attribution import grad_cam, last_convolution, occlusion_map
from alexnet_pl.inference.feature_visualization import central_field, central_outputs, maximize_units, surround
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.overfeat import OverFeat


class LinearNet(nn.Module):
    """Logits of two classes: Σ w · x, and 0."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image: Tensor) -> Tensor:
        score = (image * self.weight).sum((1, 2, 3))
        return torch.stack([score, torch.zeros_like(score)], 1)


def test_occlusion_of_a_linear_network_is_the_mean_over_its_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    image, weight = (torch.randn(1, 3, 11, 11, dtype=torch.float64, generator=generator) for _ in range(2))
    found = occlusion_map(LinearNet(0.1 * weight).double(), image, 0, window=4, stride=3)

    def sigmoid(score: float) -> float:
        return 1 / (1 + np.exp(-score))

    parts = (0.1 * image * weight).sum(1)[0].numpy()
    total, count = np.zeros((11, 11)), np.zeros((11, 11))
    for top in (0, 3, 6, 9):  # the last squares extend beyond the image
        for left in (0, 3, 6, 9):
            square = slice(top, top + 4), slice(left, left + 4)
            total[square] += sigmoid(parts.sum()) - sigmoid(parts.sum() - parts[square].sum())
            count[square] += 1
    np.testing.assert_allclose(found.numpy(), total / count, atol=1e-6)


def test_occlusion_finds_the_decisive_square() -> None:
    weight = torch.zeros(1, 3, 40, 40)
    weight[..., 20:26, 8:14] = 0.01
    found = occlusion_map(LinearNet(weight), torch.ones(1, 3, 40, 40), 0)
    row, column = divmod(int(found.argmax()), 40)
    assert 16 <= row < 30
    assert 4 <= column < 18


@pytest.mark.parametrize("norm", [True, False])
def test_grad_cam_is_the_papers_formula_in_float64(norm: bool) -> None:
    torch.manual_seed(1)
    net = AlexNet(num_classes=4, crop=99, width=0.1, norm=norm, dropout=0).double().eval()
    nn.init.normal_(net.fc8.weight, std=1)
    view = torch.randn(1, 3, 99, 99, dtype=torch.float64) * 40
    found = grad_cam(net, view, 2)

    maps = net.last_maps(view).detach().relu().requires_grad_()  # A, after the ReLU of conv5
    logits = net.fc8(F.relu(net.fc7(F.relu(net.fc6(F.relu(net.pool(maps)).flatten(1))))))
    torch.testing.assert_close(logits, net(view))
    (gradient,) = torch.autograd.grad(logits[0, 2], maps)
    weights = gradient[0].numpy().mean((1, 2))
    wanted = np.maximum(np.einsum("k,khw->hw", weights, maps[0].detach().numpy()), 0)
    assert wanted.any()
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9, atol=1e-12)


def test_grad_cam_uses_the_last_convolution_of_any_network() -> None:
    assert last_convolution(AlexNet(num_classes=2, crop=67, width=0.05, conv6=True)) == "conv6"
    net = OverFeat(num_classes=2, crop=77, net="accurate", width=0.02).eval()
    assert last_convolution(net) == "conv6"
    assert grad_cam(net, torch.randn(1, 3, 77, 77), 1).shape == (3, 3)


def test_missing_captum_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(UserError, match=r"captum is not installed; pip install -e '.\[inside\]'"):
        occlusion_map(LinearNet(torch.ones(1, 3, 4, 4)), torch.ones(1, 3, 4, 4), 0)


@pytest.fixture
def small() -> tuple[AlexNet, Augment]:
    torch.manual_seed(0)
    augment = Augment(80, 67)
    augment.set_statistics(np.full((3, 80, 80), 110.0), np.diag([900.0, 400.0, 100.0]))
    return AlexNet(num_classes=5, crop=67, width=0.15).eval(), augment


@pytest.mark.parametrize(("layer", "units"), [("conv1", [0, 3]), ("conv3", [1, 7, 20]), ("fc8", [4])])
def test_visualization_raises_units_far_above_noise(
    small: tuple[AlexNet, Augment], layer: str, units: list[int]
) -> None:
    net, augment = small
    before = maximize_units(net, augment, layer, units, steps=0)
    after = maximize_units(net, augment, layer, units, steps=24)
    top, side = central_field(net, 67, layer)
    assert after.shape == (len(units), 3, side, side)
    assert side == (11 if layer == "conv1" else 67)
    assert 0 <= float(after.min()) < float(after.max()) <= 255
    noise = torch.randint(0, 256, (64, 3, side, side), generator=torch.Generator().manual_seed(0)).float()

    def outputs(images: Tensor, numbers: list[int]) -> Tensor:
        with torch.inference_mode():
            return central_outputs(net, surround(images, augment, top), layer, numbers)

    by_chance = torch.stack([outputs(noise, [unit] * 64).max() for unit in units])
    assert (outputs(after, units) > outputs(before, units)).all()
    assert (outputs(after, units) > by_chance).all(), "64 images of noise do not reach it"
    assert not any(parameter.grad is not None for parameter in net.parameters())


def test_image_of_a_linear_unit_is_its_kernel(small: tuple[AlexNet, Augment]) -> None:
    net, augment = small
    (found,) = maximize_units(net, augment, "conv1", [5], steps=64) - 255 / 2
    kernel = net.conv1.weight[5].detach()
    assert float(F.cosine_similarity(found.flatten(), kernel.flatten(), dim=0)) > 0.7
    assert central_field(net, 67, "conv1") == (4 * (15 // 2), 11), "of 15 × 15 places the middle one"
