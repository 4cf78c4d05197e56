"""The network against the formulas of both variants, implemented in plain torch."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from networks import PRINTED, SMALL, images, layers, silenced, small, through
from torch import Tensor, nn


@pytest.mark.parametrize("after", [slice(128, 256), slice(0, 128)])
def test_third_layer_reads_both_gpus(after: slice) -> None:
    """§4.2: "the kernels of layer 3 take input from all kernel maps in layer 2"."""
    whole, half = silenced("conv2", after)
    moved = (half["conv3"][1] - whole["conv3"][1]).flatten(2).abs().amax((0, 2))
    assert (moved > 0).all()


def test_first_norm_as_printed_crosses_the_gpus() -> None:
    """§4.3: N "is the total number of kernels in the layer", so windows cross the border between GPUs."""
    net, image = small(norm_per_tower=False), images()
    whole = through(net, image)["conv2"][1][:, :128]
    with torch.no_grad():
        net.conv1.weight[48:] = 0
    half = through(net, image)["conv2"][1][:, :128]
    assert not torch.equal(whole, half)


# The whole function


def lrn_in_halves(x: Tensor) -> Tensor:
    """SOURCE_FACTS §2: torch's norm, which divides α by n, on each GPU's half."""
    return torch.cat([F.local_response_norm(half, 5, 1e-4, 0.75, 2.0) for half in x.chunk(2, 1)], 1)


def lrn_as_printed(x: Tensor) -> Tensor:
    """§4.3, over all maps of the layer, with α not divided, map by map."""
    maps = [
        x[:, i] / (2 + 1e-4 * x[:, max(0, i - 2) : min(x.shape[1] - 1, i + 2) + 1].square().sum(1)) ** 0.75
        for i in range(x.shape[1])
    ]
    return torch.stack(maps, 1)


def cnorm(x: Tensor) -> Tensor:
    """SOURCE_FACTS §2, the unpublished third norm."""
    return x * (1 + 1e-3 * F.avg_pool2d(x.square(), 5, 1, 2, count_include_pad=True)) ** -0.75


def program(p: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """SOURCE_FACTS §2, table, rows 1 to 16: ReLU after the first pooling, none before."""
    x = F.conv2d(F.pad(x, (0, 3, 0, 3)), p["conv1.weight"], p["conv1.bias"], stride=4)
    x = F.max_pool2d(lrn_in_halves(x), 3, 2).relu()
    x = F.conv2d(x, p["conv2.weight"], p["conv2.bias"], padding=2, groups=2).relu()
    return upper_layers(p, F.max_pool2d(cnorm(lrn_in_halves(x)), 3, 2))


def printed(p: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """§4.3 to §4.5: ReLU on every convolution's output, norms after it in the first and second layers."""
    x = F.conv2d(F.pad(x, (0, 3, 0, 3)), p["conv1.weight"], p["conv1.bias"], stride=4).relu()
    x = F.max_pool2d(lrn_as_printed(x), 3, 2)
    x = F.conv2d(x, p["conv2.weight"], p["conv2.bias"], padding=2, groups=2).relu()
    return upper_layers(p, F.max_pool2d(lrn_as_printed(x), 3, 2))


def upper_layers(p: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """From conv3 on both variants are equal; in evaluation, inputs with dropout are halved (§5.2)."""
    x = F.conv2d(x, p["conv3.weight"], p["conv3.bias"], padding=1).relu()
    x = F.conv2d(x, p["conv4.weight"], p["conv4.bias"], padding=1, groups=2).relu()
    x = F.conv2d(x, p["conv5.weight"], p["conv5.bias"], padding=1, groups=2).relu()
    maps = F.max_pool2d(x, 3, 2)
    x = F.linear(maps.flatten(1), p["fc6.weight"], p["fc6.bias"]).relu() * 0.5
    features = F.linear(x, p["fc7.weight"], p["fc7.bias"]).relu()
    logits = F.linear(features * 0.5, p["fc8.weight"], p["fc8.bias"])
    return {"maps": maps, "features": features, "logits": logits}


@pytest.mark.parametrize(("switches", "reference"), [({}, program), (PRINTED, printed)], ids=["as_run", "as_printed"])
def test_network_matches_the_formulas_of_its_variant(
    switches: dict, reference: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]]
) -> None:
    """In float64, on 96 pixels, which like 224 need three zeros of padding (1 + ceil(85 / 4) = 23 windows)."""
    net, image = small(crop=96, **switches).double(), images(2, 96).double()
    for layer in layers(net).values():
        nn.init.normal_(layer.bias, layer.bias.mean().item(), 0.5)
    with torch.no_grad():
        wanted = reference(net.state_dict(), image)
        found = {"maps": net.conv_maps(image), "features": net.features(image), "logits": net(image)}
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")
    assert wanted["logits"].std() > 0.1


def test_gradients_match_the_formulas() -> None:
    """For the variant as run, in float64, back to the pixels and the first kernels."""
    net = small(crop=SMALL).double()
    image = F.pad(images(2, SMALL - 3), (0, 3, 0, 3)).double()  # 67 pixels fit exactly, like 64 and three zeros
    labels = torch.tensor([3, 7])
    inner = image[:, :, : SMALL - 3, : SMALL - 3].clone().requires_grad_()
    p = {name: parameter.detach().clone().requires_grad_() for name, parameter in net.named_parameters()}
    wanted = torch.autograd.grad(F.cross_entropy(program(p, inner)["logits"], labels), [inner, *p.values()])
    image.requires_grad_()
    found = torch.autograd.grad(F.cross_entropy(net(image), labels), [image, *net.parameters()])
    torch.testing.assert_close(found[0][:, :, : SMALL - 3, : SMALL - 3], wanted[0], rtol=1e-8, atol=1e-14)
    for name, one, other in zip(p, found[1:], wanted[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-14, msg=lambda m, name=name: f"{name}: {m}")
        assert one.abs().max() > 0, name
