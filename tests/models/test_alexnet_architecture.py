"""Sizes, parameters, kernels and initial values of the network (§3.5, §5)."""

import pytest
import torch
import torch.nn.functional as F
from networks import CONVOLUTIONS, PRINTED, SMALL, count, images, layers, on_meta, silenced, small, through, watched
from torch import Tensor, nn

from alexnet_pl.models.alexnet import AlexNet

# Parameters


@pytest.mark.parametrize(
    ("switches", "parameters"),
    [
        ({}, 60_965_224),
        (PRINTED, 60_965_224),
        ({"norm": False, "activation": "tanh", "dropout": 0.0}, 60_965_224),
        ({"overlap": False}, 60_965_224),
        ({"towers": 1}, 59_798_312),
        ({"conv6": True}, 61_555_304),
        ({"conv6": True, "num_classes": 10_184}, 99_182_152),
        ({"conv6": True, "bottleneck": 2048, "num_classes": 21_843}, 110_605_267),
        ({"without": "conv2"}, 60_965_224 - 307_456 - 384 * (256 - 96) * 9),
        ({"without": "conv3"}, 60_965_224 - 885_120 - 384 * (192 - 128) * 9),
        ({"without": "conv4"}, 60_965_224 - 663_936),
        ({"without": "conv5"}, 60_965_224 - 442_624 + 4096 * (384 - 256) * 36),
    ],
    ids=str,
)
def test_parameter_count_matches_the_authors_program(switches: dict, parameters: int) -> None:
    """SOURCE_FACTS §2 and §6; for a removed layer, by hand: the next layer reads the removed layer's input."""
    assert count(on_meta(**switches)) == parameters


def test_parameter_count_per_layer_matches_the_authors_program() -> None:
    """SOURCE_FACTS §2, and §6 for the sixth layer."""
    net = on_meta(conv6=True)
    found = {name: count(layer) for name, layer in layers(net).items()}
    convolutions = dict(zip(CONVOLUTIONS, (34_944, 307_456, 885_120, 663_936, 442_624), strict=True))
    assert found.pop("fc6") + found.pop("fc7") == 54_534_144
    assert found == convolutions | {"conv6": 590_080, "fc8": 4_097_000}
    assert count(net) == sum(count(layer) for layer in layers(net).values()), "something else learns"


def test_kernels_match_section_4_5() -> None:
    """(kernels, maps each reads, side, side), strides, and the inputs of each layer with two GPUs."""
    shapes = {name: tuple(on_meta().get_submodule(name).weight.shape) for name in CONVOLUTIONS}
    assert shapes == {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
    }


def test_one_gpu_network_halves_all_kernels_except_the_last_convolution() -> None:
    """Footnote b; SOURCE_FACTS §2: 48 / 128 / 192 / 192 / 256, fc 4096 / 4096, no groups."""
    shapes = {name: tuple(layer.weight.shape) for name, layer in layers(on_meta(towers=1)).items()}
    assert shapes == {
        "conv1": (48, 3, 11, 11),
        "conv2": (128, 48, 5, 5),
        "conv3": (192, 128, 3, 3),
        "conv4": (192, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 9216),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    }


# Sizes


def test_layers_have_the_printed_number_of_neurons() -> None:
    """§4.5: 290,400-186,624-64,896-64,896-43,264-4096-4096-1000, 659,272 in all (SOURCE_FACTS §2)."""
    net = on_meta()
    sizes = [
        output[0].numel() for _, output in list(through(net, torch.empty(1, 3, 224, 224, device="meta")).values())[:-1]
    ]
    assert sizes == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
    assert sum(sizes) == 659_272


def sides(net: AlexNet, crop: int) -> list[int]:
    """Sides of the outputs of conv1, pool1, conv2, pool2 and conv5, and of the input of fc6."""
    found = through(net, torch.empty(1, 3, crop, crop, device="meta"))
    last = (found["fc6"][0].shape[1] // found["conv5"][1].shape[1]) ** 0.5
    tensors = [found["conv1"][1], found["conv2"][0], found["conv2"][1], found["conv3"][0], found["conv5"][1]]
    assert all(tensor.shape[2] == tensor.shape[3] for tensor in tensors)
    return [*(tensor.shape[2] for tensor in tensors), int(last)]


@pytest.mark.parametrize("crop", [224, 225, 226, 227])
def test_overlapping_pooling_gives_55_27_27_13_13_6(crop: int) -> None:
    """SOURCE_FACTS §2: 224, 225, 226 and 227 all give 55."""
    assert sides(on_meta(crop=crop), crop) == [55, 27, 27, 13, 13, 6]


def test_pooling_without_overlap_gives_55_28_26_13_11_6() -> None:
    """SOURCE_FACTS §7 row 15 (L147): conv2 padded by 1, conv5 by 0, number of windows rounded up."""
    assert sides(on_meta(overlap=False), 224) == [55, 28, 26, 13, 11, 6]


@pytest.mark.parametrize("crop", [SMALL, 68, 69, 70, 71, 96, 128, 200, 256])
def test_first_layer_windows_are_counted_by_ceil(crop: int) -> None:
    """layer.py:1004: 1 + ceil((crop − 11) / 4)."""
    assert sides(on_meta(crop=crop), crop)[0] == 1 + -(-(crop - 11) // 4)


@pytest.mark.parametrize("crop", [224, 225, 226])
def test_first_layer_is_zero_padded_right_and_bottom(crop: int) -> None:
    """SOURCE_FACTS §2: 3 pixels of padding for 224. A 227 network with the same kernels matches on the padded image."""

    def first_layer_and_last_maps(crop: int, image: Tensor) -> tuple[Tensor, Tensor]:
        net = on_meta(crop=crop, num_classes=2)
        torch.manual_seed(0)
        for name in CONVOLUTIONS:
            layer = net.get_submodule(name).to_empty(device="cpu")
            nn.init.normal_(layer.weight, 0, 0.02)
            nn.init.ones_(layer.bias)
        with torch.no_grad(), watched(net, "conv1") as found:
            maps = net.conv_maps(image)
        return found["conv1"][0][1], maps

    image, missing = images(1, crop), 227 - crop
    conv1, maps = first_layer_and_last_maps(crop, image)
    wide_conv1, wide_maps = first_layer_and_last_maps(227, F.pad(image, (0, missing, 0, missing)))
    assert conv1.shape == (1, 96, 55, 55)
    assert maps.shape == (1, 256, 6, 6)
    torch.testing.assert_close(conv1, wide_conv1, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(maps, wide_maps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gpu", [0, 1])
@pytest.mark.parametrize(("before", "name"), [("conv1", "conv2"), ("conv3", "conv4"), ("conv4", "conv5")])
def test_maps_of_one_gpu_do_not_affect_the_other_gpus_half_of_the_next_layer(before: str, name: str, gpu: int) -> None:
    """§4.2, including norm and pooling in between: conv2, conv4 and conv5 read only their own GPU's maps."""
    maps = on_meta().get_submodule(before).out_channels
    kernels = on_meta().get_submodule(name).out_channels
    mine, other = [slice(0, kernels // 2), slice(kernels // 2, kernels)][:: 1 - 2 * gpu]
    lower, upper = slice(0, maps // 2), slice(maps // 2, maps)
    whole, half = silenced(before, lower if gpu else upper)
    assert torch.equal(half[name][1][:, mine], whole[name][1][:, mine])
    moved = (half[name][1][:, other] - whole[name][1][:, other]).flatten(2).abs().amax((0, 2))
    assert (moved > 0).all(), "a kernel of the silent GPU did not notice"


# Initial values

PROGRAM_STD = {
    name: 0.03 if name in ("conv3", "conv4", "conv5", "conv6") else 0.01 for name in (*CONVOLUTIONS, "conv6")
}
BIAS = {"conv1": 0.0, "conv2": 1.0, "conv3": 0.0, "conv4": 1.0, "conv5": 1.0, "conv6": 1.0, "fc6": 1.0, "fc7": 1.0}


@pytest.mark.parametrize("variant", ["as_run", "as_printed"])
@pytest.mark.parametrize("towers", [1, 2])
def test_initial_values_match_each_variant(variant: str, towers: int) -> None:
    """§6 and SOURCE_FACTS §2, §6 and §7 rows 1 and 17: normal; bottleneck and last layer without bias."""
    net = small(conv6=True, bottleneck=64, towers=towers, **(PRINTED if variant == "as_printed" else {}))
    assert set(layers(net)) == {*CONVOLUTIONS, "conv6", "fc6", "fc7", "bottleneck", "fc8"}
    for name, layer in layers(net).items():
        std = PROGRAM_STD.get(name, 0.01) if variant == "as_run" else 0.01
        weight = layer.weight.detach().flatten()
        weight = weight[:: weight.numel() // 500_000 + 1].double()
        number = weight.numel()
        assert abs(weight.mean().item()) < 5 * std / number**0.5, name
        assert abs(weight.std().item() / std - 1) < 5 / (2 * number) ** 0.5, name
        within = (weight.abs() < std).double().mean().item()
        assert abs(within - 0.6827) < 5 * (0.6827 * 0.3173 / number) ** 0.5, f"{name} is not normal"
        assert weight[:10_000].unique().numel() > 0.99 * min(number, 10_000), f"{name} repeats itself"
        assert (layer.bias == BIAS.get(name, 0.0)).all(), name


@pytest.mark.parametrize("chosen", [(), ("conv1", "fc8"), ("bottleneck", "conv6", "conv2")])
def test_biases_are_one_in_the_chosen_layers_alone(chosen: tuple[str, ...]) -> None:
    """The weights are those of the default, with equal seeds."""
    plain, net = (small(conv6=True, bottleneck=64, **given) for given in ({}, {"unit_biases": chosen}))
    for name, layer in layers(net).items():
        assert (layer.bias == float(name in chosen)).all(), name
        assert torch.equal(layer.weight, layers(plain)[name].weight), name


def test_default_unit_bias_of_an_absent_layer_has_no_effect() -> None:
    assert "conv6" not in layers(small())
    assert on_meta(without="conv4", unit_biases=("conv4",)).unit_biases == ("conv4",)


def test_unit_biases_of_an_unknown_layer_are_refused_with_the_known_ones() -> None:
    known = "conv1, conv2, conv3, conv4, conv5, conv6, fc6, fc7, bottleneck, fc8"
    with pytest.raises(ValueError, match=f"^unit_biases=conv2,fc9: fc9 is none of {known}$"):
        on_meta(unit_biases=("conv2", "fc9"))


def test_initial_values_depend_only_on_torchs_generator() -> None:
    first, again, other = small(3).state_dict(), small(3).state_dict(), small(4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))


def test_reset_redraws_every_weight_and_bias() -> None:
    """The new values depend only on the seed."""
    drawn = []
    for left_over in (7.0, -7.0):
        net = small()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.fill_(left_over)
        torch.manual_seed(3)
        net.reset_parameters()
        drawn.append(net.state_dict())
    assert all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())
    assert drawn[0]["conv4.weight"].std().item() == pytest.approx(0.03, rel=0.01)


def test_sixth_layer_reads_all_maps_of_the_last_pooling() -> None:
    """SOURCE_FACTS §6: 256 of 3 × 3, padded by 1, from both GPUs, with ReLU, and directly before fc6."""
    net = on_meta(conv6=True)
    assert net.get_submodule("conv6").weight.shape == (256, 256, 3, 3)
    assert through(net, torch.empty(1, 3, 224, 224, device="meta"))["conv6"][1].shape == (1, 256, 6, 6)
    found = through(small(conv6=True, crop=128), images(1, 128))
    assert found["conv6"][0].shape == (1, 256, 3, 3)
    assert torch.equal(found["conv6"][0], F.max_pool2d(found["conv5"][1], 3, 2).relu())
    assert torch.equal(found["fc6"][0], found["conv6"][1].relu().flatten(1))


@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
def test_any_number_of_classes(classes: int) -> None:
    net = on_meta(num_classes=classes)
    assert through(net, torch.empty(3, 3, 224, 224, device="meta"))["net"][1].shape == (3, classes)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("towers", 0),
        ("towers", 3),
        ("without", "conv1"),
        ("without", "fc7"),
        ("activation", "gelu"),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("crop", 0),
        ("crop", 40),
        ("num_classes", 0),
        ("num_classes", -1),
        ("bottleneck", -1),
    ],
)
def test_invalid_architecture_is_refused_naming_the_argument(argument: str, value) -> None:
    with pytest.raises(ValueError, match=f"{argument}={value}"):
        on_meta(**{argument: value})
