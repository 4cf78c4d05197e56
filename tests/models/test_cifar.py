"""CIFAR-10 networks against the authors' layer files: sizes, parameters, initial values, order of layers."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.models.cifar import ConvNet, LocalNet, side_after_pooling
from alexnet_pl.models.layers import LocallyConnected


def counts(net: nn.Module) -> dict[str, int]:
    return {name: sum(p.numel() for p in layer.parameters()) for name, layer in net.named_children() if name != "pool"}


def images(crop: int, count: int = 3) -> Tensor:
    return 60 * torch.randn(count, 3, crop, crop, generator=torch.Generator().manual_seed(1))


def pooled(x: np.ndarray, how: str) -> np.ndarray:
    """(C, H, W): 3 × 3 windows with stride 2, the last cropped at the edge, so that every pixel is covered."""
    outputs = int(np.ceil((x.shape[1] - 3) / 2)) + 1
    y = np.empty((x.shape[0], outputs, outputs))
    for row, column in np.ndindex(outputs, outputs):
        window = x[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        y[:, row, column] = window.max((1, 2)) if how == "max" else window.mean((1, 2))
    return y


def convolved(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    """(C, H, W) zero-padded convolution, one output pixel at a time."""
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()  # type: ignore[union-attr]
    reach = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
    y = np.empty((len(weight), *x.shape[1:]))
    for row, column in np.ndindex(*x.shape[1:]):
        window = padded[:, row : row + 2 * reach + 1, column : column + 2 * reach + 1]
        y[:, row, column] = (weight * window).sum((1, 2, 3)) + bias
    return y


def normed(x: np.ndarray) -> np.ndarray:
    """layers-conv-local-11pct.cfg: size 9, scale 0.001 over the size, pow 0.75, k = 1."""
    y = np.empty_like(x)
    for i in range(len(x)):
        neighbors = x[max(0, i - 4) : i + 5]
        y[i] = x[i] / (1 + 0.001 / 9 * (neighbors**2).sum(0)) ** 0.75
    return y


def connected(x: np.ndarray, layer: LocallyConnected) -> np.ndarray:
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    y = np.empty((weight.shape[2], *x.shape[1:]))
    for row, column in np.ndindex(*x.shape[1:]):
        window = padded[:, row : row + 3, column : column + 3].transpose(1, 2, 0).reshape(-1)
        pixel = row * x.shape[2] + column
        y[:, row, column] = window @ weight[pixel] + bias[pixel, 0]
    return y


def scaled_up(net: nn.Module) -> None:
    """Enlarge the weights: initial values are so small that a wrong order of layers would not show."""
    torch.manual_seed(3)
    for name, parameter in net.named_parameters():
        nn.init.normal_(parameter, std=0.02 if name == "conv1.weight" else 0.1)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_figure_1_network_matches_layers_19pct(activation: str) -> None:
    """Layer 1 pools before the neuron; layers 2 and 3 average-pool after it."""
    net = ConvNet(activation=activation)
    scaled_up(net)
    image = images(32, 1)
    neuron = np.tanh if activation == "tanh" else lambda x: np.maximum(x, 0)
    x = neuron(pooled(convolved(image[0].double().numpy(), net.conv1), "max"))
    x = pooled(neuron(convolved(x, net.conv2)), "mean")
    x = pooled(neuron(convolved(x, net.conv3)), "mean")
    wanted = net.fc10.weight.detach().double().numpy() @ x.reshape(-1) + net.fc10.bias.detach().double().numpy()
    np.testing.assert_allclose(net(image)[0].detach().numpy(), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", [False, True])
def test_local_network_matches_layers_conv_local(norm: bool) -> None:
    """The first norm stands after its pooling, the second before; then two layers with separate kernels per pixel."""
    net = LocalNet(norm=norm, local3_maps=64 if norm else 32)
    scaled_up(net)
    image = images(24, 1)
    x = image[0].double().numpy()
    x = pooled(np.maximum(convolved(x, net.conv1), 0), "max")
    x = np.maximum(convolved(normed(x) if norm else x, net.conv2), 0)
    x = pooled(normed(x) if norm else x, "max")
    for local in (net.local3, net.local4):
        x = np.maximum(connected(x, local), 0)
    wanted = net.fc10.weight.detach().double().numpy() @ x.reshape(-1) + net.fc10.bias.detach().double().numpy()
    np.testing.assert_allclose(net(image)[0].detach().numpy(), wanted, rtol=1e-3, atol=1e-3)


def test_parameter_count_per_layer_matches_its_sizes() -> None:
    """Kernels × inputs of each + biases; a locally connected layer has both for each of 6 × 6 pixels."""
    assert counts(ConvNet()) == {
        "conv1": 32 * 75 + 32,
        "conv2": 32 * 800 + 32,
        "conv3": 64 * 800 + 64,
        "fc10": 10 * 64 * 16 + 10,
    }
    assert counts(LocalNet()) == {
        "conv1": 64 * 75 + 64,
        "conv2": 64 * 1600 + 64,
        "local3": 36 * (32 * 576 + 32),
        "local4": 36 * (32 * 288 + 32),
        "fc10": 10 * 32 * 36 + 10,
        "norm1": 0,
        "norm2": 0,
    }
    wide = counts(LocalNet(norm=True, local3_maps=64))
    assert (wide["local3"], wide["local4"]) == (36 * (64 * 576 + 64), 36 * (32 * 576 + 32))


def test_initial_values_match_the_layer_files() -> None:
    """initW in the layer files; SOURCE_FACTS §1c."""
    torch.manual_seed(0)
    wanted = {
        ConvNet: {"conv1": 1e-4, "conv2": 0.01, "conv3": 0.01, "fc10": 0.01},
        LocalNet: {"conv1": 1e-4, "conv2": 0.01, "local3": 0.04, "local4": 0.04, "fc10": 0.01},
    }
    for kind, deviations in wanted.items():
        net = kind()
        for name, deviation in deviations.items():
            layer = net.get_submodule(name)
            assert isinstance(layer.weight, Tensor)
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
            assert not layer.bias.any()  # type: ignore[operator]


@pytest.mark.parametrize("crop", range(8, 41))
def test_pooled_sizes_match_torch(crop: int) -> None:
    x = torch.zeros(1, 1, crop, crop)
    for poolings in (1, 2, 3):
        x = F.avg_pool2d(x, 3, stride=2, ceil_mode=True)
        assert x.shape[2] == side_after_pooling(crop, poolings)
    assert ConvNet(crop=crop)(torch.zeros(1, 3, crop, crop)).shape == (1, 10)


@pytest.mark.parametrize("wrong", [{"num_classes": 0}, {"crop": 7}, {"activation": "gelu"}])
def test_invalid_options_are_named(wrong: dict) -> None:
    for kind in (ConvNet, LocalNet):
        with pytest.raises(ValueError, match="{}={}".format(*next(iter(wrong.items())))):
            kind(**wrong)
