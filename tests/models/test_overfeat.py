"""OverFeat networks against Tables 1 and 3 of its paper, released weight sizes, and torch's layers."""

import pytest
import torch
from networks import map_side
from torch import Tensor, nn

from alexnet_pl.models.overfeat import OverFeat, window_geometry


def on_meta(**options) -> OverFeat:
    with torch.device("meta"):
        return OverFeat(**options)


def images(crop: int, count: int = 2) -> Tensor:
    return 60 * torch.randn(count, 3, crop, crop, generator=torch.Generator().manual_seed(1))


def written_out(net: OverFeat, layers: list[tuple | str]) -> nn.Sequential:
    """Tables 1 and 3 line by line in torch's layers, with the weights of `net`; "full" is preceded by flattening."""
    weights = [layer for layer in net.children() if isinstance(layer, nn.Conv2d)]
    parts: list[nn.Module] = []
    for layer, source in zip(layers, weights, strict=True):
        if layer == "full":
            own = nn.Linear(source.weight[0].numel(), len(source.weight))
            own.weight.data, own.bias.data = source.weight.data.flatten(1), source.bias.data
            parts += [nn.Flatten(), own, nn.ReLU()]
            continue
        kernel, stride, padding, pool = layer
        own = nn.Conv2d(source.weight.shape[1], len(source.weight), kernel, stride, padding)
        own.weight.data, own.bias.data = source.weight.data, source.bias.data
        parts += [own, nn.ReLU(), *([nn.MaxPool2d(pool, pool)] if pool else [])]
    return nn.Sequential(*parts[:-1])  # no ReLU after the last layer


FAST = [(11, 4, 0, 2), (5, 1, 0, 2), (3, 1, 1, 0), (3, 1, 1, 0), (3, 1, 1, 2), "full", "full", "full"]
ACCURATE = [(7, 2, 0, 3), (7, 1, 0, 2), *3 * [(3, 1, 1, 0)], (3, 1, 1, 3), "full", "full", "full"]


@pytest.mark.parametrize(
    ("net", "crop", "count"), [("fast", 231, 145_920_872), ("accurate", 221, 144_656_488)]
)  # the ends of the released weight files
def test_parameter_counts_match_the_released_networks(net: str, crop: int, count: int) -> None:
    assert sum(parameter.numel() for parameter in on_meta(net=net, crop=crop).parameters()) == count


@pytest.mark.parametrize(
    ("net", "crop", "maps"),
    [
        ("fast", 231, [(96, 56), (256, 24), (512, 12), (1024, 12), (1024, 12), (3072, 1), (4096, 1), (1000, 1)]),
        (
            "accurate", 221,
            [(96, 108), (256, 30), (512, 15), (512, 15), (1024, 15), (1024, 15), (4096, 1), (4096, 1), (1000, 1)],
        ),
    ],
)  # fmt: skip
def test_map_sizes_match_tables_1_and_3(net: str, crop: int, maps: list[tuple[int, int]]) -> None:
    network, seen = on_meta(net=net, crop=crop), []
    for layer in network.children():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: seen.append((out.shape[1], out.shape[2])))
    network(torch.empty(1, 3, crop, crop, device="meta"))
    assert seen == maps


@pytest.mark.parametrize(("net", "crop", "layers"), [("fast", 103, FAST), ("accurate", 113, ACCURATE)])
def test_network_matches_its_table(net: str, crop: int, layers: list) -> None:
    torch.manual_seed(0)
    network = OverFeat(7, crop, net, width=0.05, init="he").eval().double()
    network.drop.p = 0.0  # in evaluation, dropout would halve its inputs
    image = images(crop).double()
    torch.testing.assert_close(network(image), written_out(network, layers).double()(image / 61.896913))


def test_dropout_halves_the_inputs_of_both_last_layers_in_evaluation() -> None:
    """Layers with ReLU and without biases: halving the inputs of both quarters the output."""
    torch.manual_seed(0)
    network, image = OverFeat(7, 77, width=0.05, init="he").eval(), images(77)
    with_dropout = network(image)
    network.drop.p = 0.0
    torch.testing.assert_close(with_dropout, network(image) / 4)


@pytest.mark.parametrize("init", ["normal", "he"])
def test_initial_weights_have_the_configured_deviation_and_biases_are_zero(init: str) -> None:
    torch.manual_seed(0)
    for layer in OverFeat(20, 113, width=0.25, init=init).children():
        if isinstance(layer, nn.Conv2d):
            wanted = 0.01 if init == "normal" else (2 / (layer.in_channels * layer.kernel_size[0] ** 2)) ** 0.5
            assert layer.weight.std().item() == pytest.approx(wanted, rel=0.1)
            assert layer.weight.mean().item() == pytest.approx(0, abs=wanted / 10)
            assert not layer.bias.any()


@pytest.mark.parametrize(("net", "crop"), [("fast", 231), ("accurate", 221)])
def test_default_crop_is_that_of_the_paper(net: str, crop: int) -> None:
    assert on_meta(net=net, width=0.02).crop == crop


@pytest.mark.parametrize(("net", "crops"), [("fast", [71, 103, 135, 199]), ("accurate", [77, 113, 149, 185])])
def test_smaller_crops_cover_every_pixel(net: str, crops: list[int]) -> None:
    """The last window of every layer ends at the image's last pixel, so one pixel less makes the last map smaller."""
    for kernel, crop in enumerate(crops, 1):
        network = OverFeat(5, crop, net, width=0.02)
        side, smaller = (network.convolve(torch.zeros(1, 3, pixels, pixels)).shape[-1] for pixels in (crop, crop - 1))
        assert side == smaller + 1 == map_side(network.window)
        assert network.window.classifier == (kernel if crop != 199 else 5)


def test_window_strides_match_the_paper() -> None:
    """OverFeat §3.3, and the released program's README."""
    assert (window_geometry("accurate", 221).stride, window_geometry("accurate", 221).fine_stride) == (36, 12)
    assert (window_geometry("fast", 231).stride, window_geometry("fast", 231).fine_stride) == (32, 16)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"crop": 224}, "crop=224: the accurate network fits 77, 113, 149, 185, 221, 257"),
        ({"net": "fast", "crop": 221}, "crop=221: the fast network fits 71, 103"),
        ({"net": "large"}, "net=large: one of fast, accurate"),
        ({"init": "xavier"}, "init=xavier: one of normal, he"),
        ({"width": 0}, "width=0"),
        ({"dropout": 1}, "dropout=1"),
        ({"sigma": 0}, "sigma=0"),
        ({"num_classes": 0}, "num_classes=0"),
    ],
)
def test_invalid_options_are_refused_by_name(options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        on_meta(**options)


def test_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 125, 125\): the network was built for \(N, 3, 113, 113\)"):
        OverFeat(5, 113, width=0.02)(torch.zeros(1, 3, 125, 125))
