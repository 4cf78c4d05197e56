"""Dropout (§5.2) and locally connected layers (§4.3) against their definitions."""

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet_pl.models.layers import Dropout, LocallyConnected


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_dropout_in_training_zeroes_half_without_rescaling() -> None:
    """§5.2, layer.cu:1126: an output is zero or unchanged. `nn.Dropout` would double it."""
    torch.manual_seed(0)
    x = 1 + torch.rand(200, 500)
    dropped = Dropout(0.5).train()(x)
    kept = dropped != 0
    assert torch.equal(dropped[kept], x[kept])
    assert abs(kept.double().mean().item() - 0.5) < 5 * (0.25 / x.numel()) ** 0.5
    assert dropped.mean().item() == pytest.approx(0.5 * x.mean().item(), rel=0.02)


@pytest.mark.parametrize("p", [0.1, 0.9])
def test_dropout_zeroes_with_the_given_probability(p: float) -> None:
    torch.manual_seed(0)
    zeroed = (Dropout(p).train()(torch.ones(100_000)) == 0).double().mean().item()
    assert abs(zeroed - p) < 5 * (p * (1 - p) / 100_000) ** 0.5


def test_dropout_draws_independently_from_torchs_generator() -> None:
    drop, x = Dropout(0.5).train(), torch.ones(64, 64)
    torch.manual_seed(3)
    first, second = drop(x), drop(x)
    torch.manual_seed(3)
    assert torch.equal(drop(x), first)
    assert not torch.equal(first, second)
    assert len({tuple(row) for row in first.tolist()}) == 64, "two images got the same mask"
    assert len({tuple(column) for column in first.T.tolist()}) == 64, "two units got the same mask"


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5])
def test_dropout_in_evaluation_multiplies_by_the_keep_probability(p: float) -> None:
    """§5.2: "at test time, we use all the neurons but multiply their outputs by 0.5"."""
    x = torch.randn(8, 8)
    torch.testing.assert_close(Dropout(p).eval()(x), x * (1 - p), rtol=0, atol=0)


def test_dropout_of_probability_0_changes_nothing() -> None:
    x = torch.randn(8, 8)
    assert torch.equal(Dropout(0.0).train()(x), x)
    assert torch.equal(Dropout(0.0).eval()(x), x)


def test_dropout_gradient_is_its_mask() -> None:
    torch.manual_seed(0)
    x = (1 + torch.rand(40, 40)).requires_grad_()
    dropped = Dropout(0.5).train()(x)
    (found,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(found, (dropped != 0).float())
    (found,) = torch.autograd.grad(Dropout(0.5).eval()(x).sum(), x)
    assert torch.equal(found, torch.full_like(x, 0.5))


def one_pixel_at_a_time(x: Tensor, weight: Tensor, bias: Tensor, kernel: int) -> Tensor:
    """Locally connected layer by its definition: loops over image, pixel, kernel and inputs."""
    count, inputs, side, _ = x.shape
    outputs, reach = weight.shape[2], kernel // 2
    rows = []
    for image, out, y, z in np.ndindex(count, outputs, side, side):
        pixel = y * side + z
        total = bias[pixel, 0, out]
        for i, j, c in np.ndindex(kernel, kernel, inputs):
            row, column = y + i - reach, z + j - reach
            if 0 <= row < side and 0 <= column < side:
                total = total + x[image, c, row, column] * weight[pixel, (i * kernel + j) * inputs + c, out]
        rows.append(total)
    return torch.stack(rows).view(count, outputs, side, side)


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "side"), [(2, 3, 3, 4), (3, 2, 1, 3), (1, 2, 5, 3)])
def test_locally_connected_layer_matches_a_loop(inputs: int, outputs: int, kernel: int, side: int) -> None:
    layer = LocallyConnected(inputs, outputs, kernel, side).double()
    torch.nn.init.normal_(layer.bias)
    x = maps(2, inputs, side, side).requires_grad_()
    places = (x, layer.weight, layer.bias)
    wanted = one_pixel_at_a_time(*places, kernel)
    pull = maps(*wanted.shape, seed=5)
    slow = torch.autograd.grad(wanted, places, pull)
    found = layer(x)
    torch.testing.assert_close(found, wanted)
    for quick, one in zip(torch.autograd.grad(found, places, pull), slow, strict=True):
        torch.testing.assert_close(quick, one)


def test_locally_connected_layer_with_shared_kernels_is_a_convolution() -> None:
    convolution = torch.nn.Conv2d(4, 5, 3, padding=1).double()
    layer = LocallyConnected(4, 5, 3, 6).double()
    with torch.no_grad():
        layer.weight.copy_(convolution.weight.permute(2, 3, 1, 0).reshape(1, 36, 5).expand(36, 36, 5))
        layer.bias.copy_(convolution.bias.expand(36, 1, 5))
    x = maps(3, 4, 6, 6)
    torch.testing.assert_close(layer(x), convolution(x))
    torch.testing.assert_close(layer(x.contiguous(memory_format=torch.channels_last)), convolution(x))


def test_locally_connected_layer_needs_odd_kernels() -> None:
    with pytest.raises(ValueError, match="kernel=2"):
        LocallyConnected(1, 1, 2, 4)
