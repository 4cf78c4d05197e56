"""Parameter groups (§6): rates and weight decay of weights and biases, as run and as printed."""

import torch
from momentum_rule import DECAY

from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import LocalNet
from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def named_groups(bias_lr_scale: float = 2.0, decay_biases: bool = False) -> tuple[AlexNet, dict[str, dict]]:
    with torch.device("meta"):
        net = AlexNet()
    groups = parameter_groups(net, lr=0.01, weight_decay=DECAY, bias_lr_scale=bias_lr_scale, decay_biases=decay_biases)
    assert len({group["name"] for group in groups}) == len(groups)
    return net, {group["name"]: group for group in groups}


def test_weights_and_biases_of_every_layer_are_separate_groups() -> None:
    """Each parameter has its own group, with the network's name for it."""
    net, groups = named_groups()
    assert set(groups) == {f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")}
    for name, held in net.named_parameters():
        (alone,) = groups[name]["params"]
        assert alone is held


def test_biases_as_run_have_twice_the_rate_and_no_decay() -> None:
    """SOURCE_FACTS §3: epsB = .02 = 2 × epsW; wc is hard-coded to 0 for biases (layer.cu:565)."""
    _, groups = named_groups()
    optimizer = MomentumSGD(list(groups.values()), lr=123.0)
    for group in optimizer.param_groups:
        bias = group["name"].endswith("bias")
        assert group["lr"] == (0.02 if bias else 0.01)
        assert group["weight_decay"] == (0.0 if bias else 0.0005)
        assert group["momentum"] == 0.9


def test_biases_as_printed_are_treated_like_weights() -> None:
    """§6: "an equal learning rate for all layers"; weight decay applies to w without exceptions."""
    _, groups = named_groups(bias_lr_scale=1.0, decay_biases=True)
    assert {(group["lr"], group["weight_decay"]) for group in groups.values()} == {(0.01, 0.0005)}


def test_local_network_convolutions_have_no_decay() -> None:
    """layer-params-conv-local-11pct.cfg: wc 0 on conv1 and conv2, .004 on local3 and local4, .01 on fc10."""
    decays = {"conv1": 0.0, "conv2": 0.0, "fc10": 0.01}
    groups = parameter_groups(LocalNet(), 0.001, 0.004, 2.0, False, decays)
    found = {group["name"]: (group["lr"], group["weight_decay"]) for group in groups}
    weights = {name.removesuffix(".weight"): value for name, value in found.items() if name.endswith("weight")}
    wanted = {"conv1": 0.0, "conv2": 0.0, "local3": 0.004, "local4": 0.004, "fc10": 0.01}
    assert weights == {name: (0.001, decay) for name, decay in wanted.items()}
    assert {values for name, values in found.items() if name.endswith("bias")} == {(0.002, 0.0)}


def test_bias_without_decay_stays_while_its_weight_shrinks() -> None:
    layer = torch.nn.Sequential()
    layer.add_module("fc8", torch.nn.Linear(3, 3))
    torch.nn.init.ones_(layer.fc8.weight)
    torch.nn.init.ones_(layer.fc8.bias)
    optimizer = MomentumSGD(parameter_groups(layer, 0.01, 0.5, 2.0, False))
    for held in layer.parameters():
        held.grad = torch.zeros_like(held)
    optimizer.step()
    assert torch.equal(layer.fc8.bias.detach(), torch.ones(3))
    torch.testing.assert_close(layer.fc8.weight.detach(), torch.full((3, 3), 1 - 0.01 * 0.5))
