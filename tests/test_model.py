"""The network against its printed sizes, torch's plain functions in float64, and the facts sheet's initial values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_pl.model import AlexNet

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
PRINTED = {
    "relu_after_pool1": False,
    "norm_per_tower": False,
    "alpha_over_n": False,
    "spatial_norm": False,
    "wide_init": False,
}
SMALL = 67  # pixels: the least that the five convolutions and three poolings leave a pixel of, and quickly filled


def on_meta(**switches) -> AlexNet:
    """Shapes without numbers: 60 million weights in no time."""
    with torch.device("meta"):
        return AlexNet(**switches)


def small(seed: int = 0, **switches) -> AlexNet:
    torch.manual_seed(seed)
    return AlexNet(**{"num_classes": 10, "crop": SMALL} | switches).eval()


def images(count: int = 2, crop: int = SMALL, seed: int = 1) -> Tensor:
    """Pixels minus their mean, on the scale of 0 … 255."""
    return 60 * torch.randn(count, 3, crop, crop, generator=torch.Generator().manual_seed(seed))


def layers(net: AlexNet) -> dict[str, nn.Module]:
    return {name: layer for name, layer in net.named_children() if isinstance(layer, (nn.Conv2d, nn.Linear))}


@contextmanager
def watched(net: AlexNet, *names: str) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """(input, output) of each call of the named layers; of all that have weights, unless told."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    chosen = {name: net.get_submodule(name) for name in names} or layers(net)
    hooks = []
    for name, layer in chosen.items():
        found[name] = []

        def note(_: nn.Module, given: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
            found[name].append((given[0].detach(), output.detach()))

        hooks.append(layer.register_forward_hook(note))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def through(net: AlexNet, image: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of every layer with weights; "net" is the whole."""
    with torch.no_grad(), watched(net) as found:
        output = net(image)
    return {name: calls[0] for name, calls in found.items()} | {"net": (image, output)}


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


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
def test_parameters_are_as_many_as_the_facts_sheet_counts(switches: dict, parameters: int) -> None:
    """SOURCE_FACTS §2 and §6; without a layer, by hand: the next one reads what the removed one read."""
    assert count(on_meta(**switches)) == parameters


def test_parameters_of_each_layer_are_as_many_as_the_facts_sheet_counts() -> None:
    """SOURCE_FACTS §2, and §6 for the sixth layer."""
    net = on_meta(conv6=True)
    found = {name: count(layer) for name, layer in layers(net).items()}
    convolutions = dict(zip(CONVOLUTIONS, (34_944, 307_456, 885_120, 663_936, 442_624), strict=True))
    assert found.pop("fc6") + found.pop("fc7") == 54_534_144
    assert found == convolutions | {"conv6": 590_080, "fc8": 4_097_000}
    assert count(net) == sum(count(layer) for layer in layers(net).values()), "something else learns"


def test_kernels_are_those_that_section_4_5_prints() -> None:
    """(kernels, maps that one reads, side, side), strides, and what each layer of two GPUs reads."""
    shapes = {name: tuple(on_meta().get_submodule(name).weight.shape) for name in CONVOLUTIONS}
    assert shapes == {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
    }


def test_the_one_gpu_net_halves_all_kernels_but_the_last_convolutions() -> None:
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
    """Of conv1's output, the first pooling's, conv2's, the second pooling's, conv5's, and what fc6 reads."""
    found = through(net, torch.empty(1, 3, crop, crop, device="meta"))
    last = (found["fc6"][0].shape[1] // found["conv5"][1].shape[1]) ** 0.5
    tensors = [found["conv1"][1], found["conv2"][0], found["conv2"][1], found["conv3"][0], found["conv5"][1]]
    assert all(tensor.shape[2] == tensor.shape[3] for tensor in tensors)
    return [*(tensor.shape[2] for tensor in tensors), int(last)]


@pytest.mark.parametrize("crop", [224, 225, 226, 227])
def test_pooling_with_overlap_leaves_55_27_27_13_13_6(crop: int) -> None:
    """SOURCE_FACTS §2: 224, 225, 226 and 227 all give 55."""
    assert sides(on_meta(crop=crop), crop) == [55, 27, 27, 13, 13, 6]


def test_pooling_without_overlap_leaves_55_28_26_13_11_6() -> None:
    """SOURCE_FACTS §7 row 15 (L147): conv2 padded by 1, conv5 by 0, windows counted by ceil."""
    assert sides(on_meta(overlap=False), 224) == [55, 28, 26, 13, 11, 6]


@pytest.mark.parametrize("crop", [SMALL, 68, 69, 70, 71, 96, 128, 200, 256])
def test_windows_of_the_first_layer_are_counted_by_ceil(crop: int) -> None:
    """layer.py:1004: 1 + ceil((crop − 11) / 4)."""
    assert sides(on_meta(crop=crop), crop)[0] == 1 + -(-(crop - 11) // 4)


@pytest.mark.parametrize("crop", [224, 225, 226])
def test_past_the_right_and_bottom_edges_the_first_layer_reads_zeros(crop: int) -> None:
    """SOURCE_FACTS §2: 3 pixels past the edges for 224. A 227 net of the same kernels reads the padded image alike."""

    def first_layer_and_last_maps(crop: int, image: Tensor) -> tuple[Tensor, Tensor]:
        net = on_meta(crop=crop, num_classes=2)
        torch.manual_seed(0)
        for name in CONVOLUTIONS:
            layer = net.get_submodule(name).to_empty(device="cpu")
            nn.init.normal_(layer.weight, 0, 0.02)
            nn.init.ones_(layer.bias)
        with torch.no_grad(), watched(net, "conv1") as found:
            maps = net.maps(image)
        return found["conv1"][0][1], maps

    image, missing = images(1, crop), 227 - crop
    conv1, maps = first_layer_and_last_maps(crop, image)
    wide_conv1, wide_maps = first_layer_and_last_maps(227, F.pad(image, (0, missing, 0, missing)))
    assert conv1.shape == (1, 96, 55, 55)
    assert maps.shape == (1, 256, 6, 6)
    torch.testing.assert_close(conv1, wide_conv1, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(maps, wide_maps, rtol=1e-4, atol=1e-4)


# Two GPUs


def silenced(name: str, after: slice) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, tuple[Tensor, Tensor]]]:
    """What flows with all maps, and with those of one GPU silent at one layer."""
    net, image = small(), images()
    whole = through(net, image)
    with torch.no_grad():
        net.get_submodule(name).weight[after] = 0
        net.get_submodule(name).bias[after] = 0
    return whole, through(net, image)


@pytest.mark.parametrize("gpu", [0, 1])
@pytest.mark.parametrize(("before", "name"), [("conv1", "conv2"), ("conv3", "conv4"), ("conv4", "conv5")])
def test_silencing_one_gpus_maps_leaves_the_others_half_of_the_next_layer_unchanged(
    before: str, name: str, gpu: int
) -> None:
    """§4.2, through the norm and the pooling between them: conv2, conv4 and conv5 read their own GPU's maps."""
    maps = on_meta().get_submodule(before).out_channels
    kernels = on_meta().get_submodule(name).out_channels
    mine, other = [slice(0, kernels // 2), slice(kernels // 2, kernels)][:: 1 - 2 * gpu]
    lower, upper = slice(0, maps // 2), slice(maps // 2, maps)
    whole, half = silenced(before, lower if gpu else upper)
    assert torch.equal(half[name][1][:, mine], whole[name][1][:, mine])
    moved = (half[name][1][:, other] - whole[name][1][:, other]).flatten(2).abs().amax((0, 2))
    assert (moved > 0).all(), "a kernel of the silent GPU did not notice"


@pytest.mark.parametrize("after", [slice(128, 256), slice(0, 128)])
def test_the_third_layer_sees_both_gpus(after: slice) -> None:
    """§4.2: "the kernels of layer 3 take input from all kernel maps in layer 2"."""
    whole, half = silenced("conv2", after)
    moved = (half["conv3"][1] - whole["conv3"][1]).flatten(2).abs().amax((0, 2))
    assert (moved > 0).all()


def test_in_print_the_first_norm_lets_the_gpus_see_each_other() -> None:
    """§4.3: N "is the total number of kernels in the layer", so windows reach over the border."""
    net, image = small(norm_per_tower=False), images()
    whole = through(net, image)["conv2"][1][:, :128]
    with torch.no_grad():
        net.conv1.weight[48:] = 0
    half = through(net, image)["conv2"][1][:, :128]
    assert not torch.equal(whole, half)


# Initial values

PROGRAM_STD = {
    name: 0.03 if name in ("conv3", "conv4", "conv5", "conv6") else 0.01 for name in (*CONVOLUTIONS, "conv6")
}
BIAS = {"conv1": 0.0, "conv2": 1.0, "conv3": 0.0, "conv4": 1.0, "conv5": 1.0, "conv6": 1.0, "fc6": 1.0, "fc7": 1.0}


@pytest.mark.parametrize("variant", ["as_run", "as_printed"])
@pytest.mark.parametrize("towers", [1, 2])
def test_initial_values_are_those_of_each_variant(variant: str, towers: int) -> None:
    """§6 and SOURCE_FACTS §2, §6 and §7 rows 1 and 17: normal, the bottleneck and the last layer without bias."""
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


def test_initial_values_are_torchs_generators_alone() -> None:
    first, again, other = small(3).state_dict(), small(3).state_dict(), small(4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))


def test_resetting_draws_every_weight_and_bias_anew() -> None:
    """Whatever was there before, by the seed alone."""
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


# Switches


@pytest.mark.parametrize(
    ("switch", "value", "first"),
    [
        ("norm", False, "conv2"),
        ("overlap", False, "conv2"),
        ("activation", "tanh", "conv2"),
        ("dropout", 0.0, "fc7"),
        ("relu_after_pool1", False, "conv2"),
        ("norm_per_tower", False, "conv2"),
        ("alpha_over_n", False, "conv2"),
        ("spatial_norm", False, "conv3"),
        ("wide_init", False, "conv3"),
    ],
)
def test_each_switch_alone_changes_the_output_from_its_layer_on_and_nothing_before(
    switch: str, value, first: str
) -> None:
    """`first` is the first layer whose output differs. Weights of one seed are the same, unless they are switched."""
    plain, switched = small(), small(**{switch: value})
    for name, before in plain.state_dict().items():
        after = switched.state_dict()[name]
        if switch == "wide_init" and name in ("conv3.weight", "conv4.weight", "conv5.weight"):
            torch.testing.assert_close(after, before / 3, rtol=1e-6, atol=0)
        else:
            assert torch.equal(before, after), name
    one, other = through(plain, images()), through(switched, images())
    reached = list(one)[list(one).index(first) :]
    for name in one:
        before, after = one[name][1], other[name][1]
        if name not in reached:
            assert torch.equal(before, after), name
        elif before.shape == after.shape:
            assert (before - after).abs().max() > 1e-5 * before.abs().max(), name


@pytest.mark.parametrize(
    ("base", "switch", "value"),
    [
        ({"norm": False}, "relu_after_pool1", False),
        ({"norm": False}, "norm_per_tower", False),
        ({"norm": False}, "alpha_over_n", False),
        ({"norm": False}, "spatial_norm", False),
        ({"towers": 1}, "norm_per_tower", False),
    ],
    ids=str,
)
def test_a_switch_of_what_is_not_there_changes_nothing(base: dict, switch: str, value) -> None:
    """Without norms ReLU and pooling commute (SOURCE_FACTS §2); one GPU has one tower."""
    with torch.no_grad():
        assert torch.equal(small(**base)(images()), small(**base, **{switch: value})(images()))


def test_no_norms_means_none_of_the_three() -> None:
    """SOURCE_FACTS §7 row 4: net 148 leaves out all three. Between conv1 and conv2 there is the pooling alone."""
    found = through(small(norm=False), images())
    assert torch.equal(found["conv2"][0], F.max_pool2d(found["conv1"][1], 3, 2).relu())
    assert torch.equal(found["conv3"][0], F.max_pool2d(found["conv2"][1].relu(), 3, 2))


# The whole function


def lrn_in_halves(x: Tensor) -> Tensor:
    """SOURCE_FACTS §2: torch's own, which divides α by n, on each GPU's half."""
    return torch.cat([F.local_response_norm(half, 5, 1e-4, 0.75, 2.0) for half in x.chunk(2, 1)], 1)


def lrn_as_printed(x: Tensor) -> Tensor:
    """§4.3, over all maps of the layer, α undivided, map by map."""
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
    """From conv3 on the readings agree; in use each dropped layer counts half (§5.2)."""
    x = F.conv2d(x, p["conv3.weight"], p["conv3.bias"], padding=1).relu()
    x = F.conv2d(x, p["conv4.weight"], p["conv4.bias"], padding=1, groups=2).relu()
    x = F.conv2d(x, p["conv5.weight"], p["conv5.bias"], padding=1, groups=2).relu()
    maps = F.max_pool2d(x, 3, 2)
    x = F.linear(maps.flatten(1), p["fc6.weight"], p["fc6.bias"]).relu() * 0.5
    features = F.linear(x, p["fc7.weight"], p["fc7.bias"]).relu()
    logits = F.linear(features * 0.5, p["fc8.weight"], p["fc8.bias"])
    return {"maps": maps, "features": features, "logits": logits}


@pytest.mark.parametrize(("switches", "reference"), [({}, program), (PRINTED, printed)], ids=["as_run", "as_printed"])
def test_the_network_is_the_function_of_its_variant(
    switches: dict, reference: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]]
) -> None:
    """In float64, on 96 pixels, which like 224 read three zeros past the edge (1 + ceil(85 / 4) = 23 windows)."""
    net, image = small(crop=96, **switches).double(), images(2, 96).double()
    for layer in layers(net).values():
        nn.init.normal_(layer.bias, layer.bias.mean().item(), 0.5)
    with torch.no_grad():
        wanted = reference(net.state_dict(), image)
        found = {"maps": net.maps(image), "features": net.features(image), "logits": net(image)}
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")
    assert wanted["logits"].std() > 0.1


def test_gradients_of_the_network_are_those_of_the_function() -> None:
    """Of the program's reading, in float64, down to the pixels and the first kernels."""
    net = small(crop=SMALL).double()
    image = F.pad(images(2, SMALL - 3), (0, 3, 0, 3)).double()  # 67 pixels fit exactly; 64 and three zeros are the same
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


def test_dropout_falls_on_the_outputs_of_fc6_and_fc7_without_scaling_up() -> None:
    """§5.2, SOURCE_FACTS §2 rows 13 and 15: what the next layer reads is the ReLU's output, or zero."""
    net = small().train()
    found = through(net, images(8))
    for before, after in (("fc6", "fc7"), ("fc7", "fc8")):
        activity, reads = found[before][1].relu(), found[after][0]
        dropped = (reads == 0) & (activity > 0)
        assert torch.equal(reads[~dropped], activity[~dropped])
        share = dropped.sum().item() / (activity > 0).sum().item()
        assert share == pytest.approx(0.5, abs=0.03), after
    assert torch.equal(found["fc6"][0], found["conv5"][1].relu().amax((2, 3))), (
        "here one window of 3 × 3 is the pooling"
    )


def test_without_dropout_training_and_use_are_the_same() -> None:
    net = small(dropout=0.0)
    with torch.no_grad():
        assert torch.equal(net.train()(images()), net.eval()(images()))
    assert not torch.equal(small().train()(images()), small().eval()(images()))


def test_features_are_fc7s_activities_before_its_dropout() -> None:
    """SOURCE_FACTS §5: in the feature pass the neuron layer is taken before dropout; §7.1's 4096 numbers."""
    net = small()
    with torch.no_grad(), watched(net, "fc7") as found:
        features = net.features(images())
    assert features.shape == (2, 4096)
    assert torch.equal(features, found["fc7"][0][1].relu())


# Variants


def test_tanh_takes_the_place_of_every_relu() -> None:
    """§4.1: what each layer reads comes from tanh of the one before."""
    found = through(small(activation="tanh", norm=False), images())
    assert torch.equal(found["conv2"][0], F.max_pool2d(found["conv1"][1], 3, 2).tanh())
    assert torch.equal(found["conv3"][0], F.max_pool2d(found["conv2"][1].tanh(), 3, 2))
    for before, after in (("conv3", "conv4"), ("conv4", "conv5")):
        assert torch.equal(found[after][0], found[before][1].tanh())
    assert torch.equal(found["fc6"][0], found["conv5"][1].tanh().amax((2, 3)))
    for before, after in (("fc6", "fc7"), ("fc7", "fc8")):
        torch.testing.assert_close(found[after][0], found[before][1].tanh() * 0.5)


def test_the_sixth_layer_reads_all_maps_of_the_last_pooling() -> None:
    """SOURCE_FACTS §6: 256 of 3 × 3, padded by 1, from both GPUs, ReLU, and nothing between it and fc6."""
    net = on_meta(conv6=True)
    assert net.get_submodule("conv6").weight.shape == (256, 256, 3, 3)
    assert through(net, torch.empty(1, 3, 224, 224, device="meta"))["conv6"][1].shape == (1, 256, 6, 6)
    found = through(small(conv6=True, crop=128), images(1, 128))
    assert found["conv6"][0].shape == (1, 256, 3, 3)
    assert torch.equal(found["conv6"][0], F.max_pool2d(found["conv5"][1], 3, 2).relu())
    assert torch.equal(found["fc6"][0], found["conv6"][1].relu().flatten(1))


def test_the_bottleneck_is_linear_and_undropped_between_fc7_and_fc8() -> None:
    """SOURCE_FACTS §6: dropout(fc7) → 2048 without ReLU, without dropout → the classes."""
    net = small(bottleneck=64).train()
    found = through(net, images())
    reads = found["bottleneck"][0]
    assert reads.shape == (2, 4096)
    assert torch.equal(reads[reads != 0], found["fc7"][1].relu()[reads != 0])
    assert ((reads == 0) & (found["fc7"][1] > 0)).any(), "no dropout before it"
    assert torch.equal(found["fc8"][0], found["bottleneck"][1])
    assert (found["fc8"][0] < 0).any()
    assert net.get_submodule("fc8").weight.shape == (10, 64)


@pytest.mark.parametrize("without", ["conv2", "conv3", "conv4", "conv5"])
@pytest.mark.parametrize("towers", [1, 2])
@pytest.mark.parametrize("overlap", [True, False])
def test_without_a_middle_layer_the_others_keep_their_kernels_and_their_number(
    without: str, towers: int, overlap: bool
) -> None:
    """§8: "removing any of the middle layers"."""
    net, whole = on_meta(without=without, towers=towers, overlap=overlap), on_meta(towers=towers, overlap=overlap)
    found = through(net, torch.empty(2, 3, 224, 224, device="meta"))
    assert set(layers(net)) == set(layers(whole)) - {without}
    for name in set(CONVOLUTIONS) - {without}:
        left, complete = net.get_submodule(name), whole.get_submodule(name)
        assert (left.out_channels, left.kernel_size, left.stride) == (
            complete.out_channels,
            complete.kernel_size,
            complete.stride,
        )
        assert (left.padding, left.groups) == (complete.padding, complete.groups)
    assert found["net"][1].shape == (2, 1000)


def test_without_a_layer_the_pooling_that_followed_it_stays() -> None:
    """Three poolings in each case, so fc6 reads 6 × 6 pixels as before."""
    for without, maps in (("conv2", 256), ("conv3", 256), ("conv4", 256), ("conv5", 384)):
        found = through(on_meta(without=without), torch.empty(1, 3, 224, 224, device="meta"))
        assert found["fc6"][0].shape == (1, maps * 36), without


@pytest.mark.parametrize(
    "switches",
    [
        {"without": "conv2"},
        {"without": "conv3"},
        {"without": "conv4"},
        {"without": "conv5"},
        {"towers": 1},
        {"activation": "tanh"},
        {"conv6": True, "bottleneck": 32},
        {"overlap": False},
        {"norm": False, "dropout": 0.0},
        PRINTED,
    ],
    ids=str,
)
def test_every_variant_tells_images_apart_and_learns_in_every_layer(switches: dict) -> None:
    """A gradient reaches each weight and each bias; logits are numbers, as many as there are classes."""
    net = small(num_classes=7, **switches).train()
    logits = net(images(4))
    assert logits.shape == (4, 7)
    assert logits.isfinite().all()
    assert len(logits.detach().unique(dim=0)) == 4
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


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
def test_what_cannot_be_built_is_refused_by_the_arguments_name(argument: str, value) -> None:
    with pytest.raises(ValueError, match=f"{argument}={value}"):
        on_meta(**{argument: value})
