"""Each setting of the network alone: what it changes and what it leaves unchanged."""

import pytest
import torch
import torch.nn.functional as F
from networks import CONVOLUTIONS, PRINTED, images, layers, on_meta, small, through, watched

from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.other_alexnets import TorchvisionAlexNet

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
def test_each_setting_changes_outputs_only_from_its_layer_on(switch: str, value, first: str) -> None:
    """`first`: first layer whose output differs. Equal seeds give equal weights, unless the setting changes them."""
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
def test_setting_of_an_absent_layer_changes_nothing(base: dict, switch: str, value) -> None:
    """Without norms ReLU and pooling commute (SOURCE_FACTS §2); one GPU has one tower."""
    with torch.no_grad():
        assert torch.equal(small(**base)(images()), small(**base, **{switch: value})(images()))


def test_norm_false_removes_all_three_norms() -> None:
    """SOURCE_FACTS §7 row 4: net 148 has none of the three. Only pooling remains between conv1 and conv2."""
    found = through(small(norm=False), images())
    assert torch.equal(found["conv2"][0], F.max_pool2d(found["conv1"][1], 3, 2).relu())
    assert torch.equal(found["conv3"][0], F.max_pool2d(found["conv2"][1].relu(), 3, 2))


def test_dropout_zeroes_outputs_of_fc6_and_fc7_without_rescaling() -> None:
    """§5.2, SOURCE_FACTS §2 rows 13 and 15: the next layer reads the ReLU's output, or zero."""
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


def test_without_dropout_training_and_evaluation_agree() -> None:
    net = small(dropout=0.0)
    with torch.no_grad():
        assert torch.equal(net.train()(images()), net.eval()(images()))
    assert not torch.equal(small().train()(images()), small().eval()(images()))


def test_features_are_fc7_activations_before_dropout() -> None:
    """SOURCE_FACTS §5: features are taken from the neuron layer before dropout; they are the 4096 numbers of §7.1."""
    net = small()
    with torch.no_grad(), watched(net, "fc7") as found:
        features = net.features(images())
    assert features.shape == (2, 4096)
    assert torch.equal(features, found["fc7"][0][1].relu())


# Variants


def test_tanh_replaces_every_relu() -> None:
    """§4.1: the input of each layer is tanh of the layer before."""
    found = through(small(activation="tanh", norm=False), images())
    assert torch.equal(found["conv2"][0], F.max_pool2d(found["conv1"][1], 3, 2).tanh())
    assert torch.equal(found["conv3"][0], F.max_pool2d(found["conv2"][1].tanh(), 3, 2))
    for before, after in (("conv3", "conv4"), ("conv4", "conv5")):
        assert torch.equal(found[after][0], found[before][1].tanh())
    assert torch.equal(found["fc6"][0], found["conv5"][1].tanh().amax((2, 3)))
    for before, after in (("fc6", "fc7"), ("fc7", "fc8")):
        torch.testing.assert_close(found[after][0], found[before][1].tanh() * 0.5)


def test_bottleneck_is_linear_without_dropout_between_fc7_and_fc8() -> None:
    """SOURCE_FACTS §6: dropout(fc7) → 2048 without ReLU and dropout → classes."""
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
def test_removing_a_layer_keeps_the_other_layers(without: str, towers: int, overlap: bool) -> None:
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


def test_removing_a_layer_keeps_its_pooling() -> None:
    """There are always three poolings, so fc6 still reads 6 × 6 pixels."""
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
def test_every_variant_distinguishes_images_and_has_gradients_in_every_layer(switches: dict) -> None:
    """Each weight and bias has a gradient; logits are finite, one per class."""
    net = small(num_classes=7, **switches).train()
    logits = net(images(4))
    assert logits.shape == (4, 7)
    assert logits.isfinite().all()
    assert len(logits.detach().unique(dim=0)) == 4
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("towers", [1, 2])
def test_width_scales_only_kernels_and_units(towers: int) -> None:
    """A quarter of the kernels and units in Figure 2 and footnote b; two towers have equal shares."""
    narrow, full = on_meta(width=0.25, towers=towers), on_meta(towers=towers)
    assert {name: layer.weight.shape[0] for name, layer in layers(narrow).items()} == {
        name: 1000 if name == "fc8" else layer.weight.shape[0] // 4 for name, layer in layers(full).items()
    }
    image = torch.empty(1, 3, 224, 224, device="meta")
    pixels = {name: output.shape[2:] for name, (_, output) in through(full, image).items()}
    assert {name: output.shape[2:] for name, (_, output) in through(narrow, image).items()} == pixels


def test_width_keeps_the_standard_deviation_of_activations() -> None:
    """A sum over a quarter of the inputs has half the deviation; weights twice as large compensate (§6)."""
    narrow = AlexNet(width=0.25, crop=67)
    spread = {name: layer.weight.std().item() for name, layer in layers(narrow).items()}
    wanted = {"conv1": 0.01, "conv2": 0.02, "conv3": 0.06, "conv4": 0.06, "conv5": 0.06, "fc6": 0.02, "fc7": 0.02}
    for name, sigma in wanted.items():
        assert spread[name] == pytest.approx(sigma, rel=0.05), name


@pytest.mark.parametrize("width", [0, -1, float("nan"), 5])
def test_invalid_width_is_refused_by_name(width: float) -> None:
    with pytest.raises(ValueError, match="width"):
        AlexNet(width=width)


@pytest.mark.parametrize("crop", [95, 99, 127])
def test_torchvision_networks_of_other_crops_have_the_inputs_of_fc6(crop: int) -> None:
    """Its zeros on both sides give images of 95 and 127 pixels one more row than AlexNet's have."""
    net = TorchvisionAlexNet(10, crop, width=0.05)
    assert net(images(crop=crop)).shape == (2, 10)
