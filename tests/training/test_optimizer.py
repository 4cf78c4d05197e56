"""Momentum SGD (§6) against the rule in float64, and against torch's SGD, which differs."""

import io
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR, ReduceLROnPlateau

from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import LocalNet
from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups

MOMENTUM, DECAY = 0.9, 0.0005  # §6


class Problem:
    """Random quadratic ½(w − c)ᵀA(w − c) with a noisy gradient; the noise depends only on the step."""

    def __init__(self, size: int = 6, seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        root = chance.standard_normal((size, size))
        self.A = root @ root.T / size + np.eye(size)
        self.c, self.start = chance.standard_normal(size), chance.standard_normal(size)
        self.noise = chance.standard_normal((1000, size))

    def gradient(self, w: np.ndarray, step: int) -> np.ndarray:
        return self.A @ (w - self.c) + self.noise[step]


def written_out(
    problem: Problem, rates: Sequence[float], decay: float = DECAY, momentum: float = MOMENTUM
) -> np.ndarray:
    """§6: v ← 0.9 v − 0.0005 ε w − ε g; w ← w + v; no change if ε = 0. (steps, size): w after each step."""
    w, v = problem.start.copy(), np.zeros_like(problem.start)
    path = []
    for step, rate in enumerate(rates):
        if rate != 0:
            v = momentum * v - decay * rate * w - rate * problem.gradient(w, step)
            w = w + v
        path.append(w)
    return np.array(path)


def walk(optimizer: torch.optim.Optimizer, problem: Problem, rates: Sequence[float], start: int = 0) -> np.ndarray:
    """The same for an optimizer with one parameter in its first group."""
    group = optimizer.param_groups[0]
    (w,) = group["params"]
    path = []
    for step, rate in enumerate(rates, start):
        group["lr"] = rate
        w.grad = torch.from_numpy(problem.gradient(w.detach().numpy(), step))
        optimizer.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


def parameter(problem: Problem) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(problem.start.copy()))


def ours(problem: Problem, **settings) -> MomentumSGD:
    return MomentumSGD([parameter(problem)], **({"lr": 0.01, "momentum": MOMENTUM, "weight_decay": DECAY} | settings))


def test_update_matches_the_papers_rule_across_rate_changes() -> None:
    """Rates drop tenfold as in §6, rise again as in the pre-trained networks, and are 0 for a while."""
    rates = [0.01] * 150 + [0.001] * 100 + [0.0] * 20 + [0.0001] * 50 + [0.02] * 100 + [1e-5] * 50
    problem = Problem()
    found, wanted = walk(ours(problem), problem, rates), written_out(problem, rates)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
    assert np.abs(found[0] - found[-1]).max() > 0.1, "nothing moved"


def test_fused_update_matches_the_papers_rule() -> None:
    """The fused update gives the same numbers, also with frozen groups and rate changes."""
    rates, problem = [0.01] * 30 + [0.001] * 20 + [0.0] * 5 + [0.02] * 20, Problem()
    np.testing.assert_allclose(walk(ours(problem, fused=True), problem, rates), written_out(problem, rates), rtol=1e-12)


def test_step_hooks_are_called_once_with_the_fused_update() -> None:
    w = torch.nn.Parameter(torch.ones(1))
    torch.optim.SGD([w], lr=0.1)
    optimizer, calls = MomentumSGD([w], lr=0.1), []
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    w.grad = torch.ones(1)
    optimizer.step()
    assert calls == ["before", "after"]


@given(
    st.lists(st.sampled_from([0.0, 1e-4, 1e-3, 1e-2, 0.05]), min_size=1, max_size=40),
    st.sampled_from([0.0, DECAY, 0.1]),
)
@settings(max_examples=40, deadline=None)
def test_update_matches_the_papers_rule_for_any_schedule(rates: list[float], decay: float) -> None:
    problem = Problem(seed=1)
    found = walk(ours(problem, weight_decay=decay), problem, rates)
    np.testing.assert_allclose(found, written_out(problem, rates, decay), rtol=1e-12, atol=1e-14)


def test_defaults_match_section_6() -> None:
    problem, rates = Problem(), [0.01] * 30
    optimizer = MomentumSGD([parameter(problem)])
    assert optimizer.param_groups[0]["lr"] == 0.01
    np.testing.assert_allclose(walk(optimizer, problem, rates), written_out(problem, rates), rtol=1e-12)


def test_weight_decay_without_gradient_matches_hand_calculation() -> None:
    """By hand: w = 1 after one step of ε = 0.01 is 1 − 0.0005 · 0.01, then v = −0.9 · 5e-6 − 5e-6 · w."""
    w = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = MomentumSGD([w], lr=0.01)
    w.grad = torch.zeros_like(w)
    optimizer.step()
    assert w.item() == pytest.approx(1 - 5e-6, abs=1e-15)
    optimizer.step()
    assert w.item() == pytest.approx(1 - 5e-6 - 0.9 * 5e-6 - 5e-6 * (1 - 5e-6), abs=1e-15)


def test_constant_rate_matches_torchs_sgd() -> None:
    problem, rates = Problem(), [0.01] * 300
    torchs = torch.optim.SGD([parameter(problem)], lr=0.01, momentum=MOMENTUM, weight_decay=DECAY)
    np.testing.assert_allclose(walk(ours(problem), problem, rates), walk(torchs, problem, rates), rtol=1e-10)


@pytest.mark.parametrize("after", [0.001, 0.02])
def test_rate_change_differs_from_torchs_sgd_by_the_old_velocity(after: float) -> None:
    """torch's velocity does not include ε, so after a change its step applies the new ε to old gradients too."""
    before, problem = 50, Problem()
    rates = [0.01] * before + [after] * 3
    torchs = torch.optim.SGD([parameter(problem)], lr=0.01, momentum=MOMENTUM, weight_decay=DECAY)
    ours_path, torchs_path = walk(ours(problem), problem, rates), walk(torchs, problem, rates)
    np.testing.assert_allclose(ours_path[:before], torchs_path[:before], rtol=1e-12)

    velocity = ours_path[before - 1] - ours_path[before - 2]
    difference = ours_path[before] - torchs_path[before]
    np.testing.assert_allclose(difference, MOMENTUM * velocity * (1 - after / 0.01), rtol=1e-8)
    assert (np.abs(ours_path[before:] - torchs_path[before:]) > 1e-5).all()


def test_group_of_rate_0_is_frozen_and_keeps_its_velocity() -> None:
    """weights.cu:148: neither weight decay nor the old velocity moves the weights; the velocity is kept."""
    frozen, free = Problem(seed=2), Problem(seed=3)
    rest, go = parameter(frozen), parameter(free)
    optimizer = MomentumSGD([{"params": [rest]}, {"params": [go]}], lr=0.01)
    course = [0.01] * 10 + [0.0] * 10 + [0.01] * 10
    still = []
    for step, rate in enumerate(course):
        optimizer.param_groups[0]["lr"] = rate
        rest.grad = torch.from_numpy(frozen.gradient(rest.detach().numpy(), step))
        go.grad = torch.from_numpy(free.gradient(go.detach().numpy(), step))
        optimizer.step()
        still.append(rest.detach().clone())
    assert all(torch.equal(still[9], at) for at in still[10:20])
    np.testing.assert_allclose(rest.detach().numpy(), written_out(frozen, course)[-1], rtol=1e-12)
    np.testing.assert_allclose(go.detach().numpy(), written_out(free, [0.01] * 30)[-1], rtol=1e-12)


def test_group_of_rate_0_from_the_start_never_moves() -> None:
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = MomentumSGD([w], lr=0.0)
    w.grad = torch.full((3,), 5.0)
    optimizer.step()
    assert torch.equal(w.detach(), torch.ones(3))


def test_groups_use_their_own_rates_and_decays() -> None:
    """As in the program: weights have decay; biases have none, and twice the rate."""
    weight, bias = Problem(size=8, seed=4), Problem(size=2, seed=5)
    w, b = parameter(weight), parameter(bias)
    optimizer = MomentumSGD([{"params": [w], "lr": 0.01}, {"params": [b], "lr": 0.02, "weight_decay": 0.0}])
    for step in range(100):
        w.grad = torch.from_numpy(weight.gradient(w.detach().numpy(), step))
        b.grad = torch.from_numpy(bias.gradient(b.detach().numpy(), step))
        optimizer.step()
    np.testing.assert_allclose(w.detach().numpy(), written_out(weight, [0.01] * 100)[-1], rtol=1e-12)
    np.testing.assert_allclose(b.detach().numpy(), written_out(bias, [0.02] * 100, decay=0.0)[-1], rtol=1e-12)
    assert not np.allclose(b.detach().numpy(), written_out(bias, [0.02] * 100)[-1], rtol=1e-9), "a decay would be seen"


def test_parameter_without_a_gradient_is_unchanged() -> None:
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = MomentumSGD([used, unused], lr=0.1)
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused.detach(), torch.ones(2))
    assert not torch.equal(used.detach(), torch.ones(2))


def test_step_leaves_gradients_unchanged_and_returns_the_closures_loss() -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = MomentumSGD([w], lr=0.1)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 5.0
    assert w.grad is not None
    assert w.grad.tolist() == [2.0, 4.0]
    assert w.tolist() == pytest.approx([1 - 0.1 * (2 + 0.0005), 2 - 0.1 * (4 + 0.001)])


@pytest.mark.parametrize("steps", [0, 1, 17, 30])
def test_saved_state_resumes_bit_identically(steps: int) -> None:
    """State saved to a file and loaded with weights_only, within a sequence of rates, with a frozen group."""
    problem, rates = Problem(), [0.01] * 15 + [0.001] * 10 + [0.0] * 10 + [0.001] * 5
    whole = walk(ours(problem), problem, rates)

    first = ours(problem)
    walk(first, problem, rates[:steps])
    file = io.BytesIO()
    torch.save({"optimizer": first.state_dict(), "w": first.param_groups[0]["params"][0].detach()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    second = MomentumSGD([torch.nn.Parameter(saved["w"])], lr=123.0, momentum=0.0, weight_decay=0.3)
    second.load_state_dict(saved["optimizer"])
    rest = walk(second, problem, rates[steps:], start=steps)
    assert np.array_equal(rest, whole[steps:])
    assert second.param_groups[0]["momentum"] == MOMENTUM
    assert second.param_groups[0]["weight_decay"] == DECAY


@pytest.mark.parametrize(("saved", "now", "expected"), [(0.01, 0.01, 0.001), (0.01, 0.002, 0.0002), (0.0, 0.5, 0.5)])
def test_changed_settings_of_a_resumed_fit_apply(saved: float, now: float, expected: float) -> None:
    """The schedule has divided the rate by ten; a layer that was frozen starts at its new rate."""
    net = torch.nn.Linear(2, 1)
    first = MomentumSGD(parameter_groups(net, saved, DECAY, 2.0, False), saved, MOMENTUM, DECAY)
    for group in first.param_groups:
        group["lr"] /= 10
    second = MomentumSGD(parameter_groups(net, now, 0.3, 2.0, False), now, 0.5, 0.3)
    second.load_state_dict(first.state_dict())
    weight, bias = second.param_groups
    assert (weight["lr"], bias["lr"]) == pytest.approx((expected, 2 * expected))
    assert (weight["initial_lr"], weight["momentum"], weight["weight_decay"]) == (now, 0.5, 0.3)
    assert bias["weight_decay"] == 0


def test_layer_unfrozen_on_resume_has_the_divisions_of_the_others() -> None:
    """Not those of conv1, which the schedule has frozen."""
    net = torch.nn.Sequential(OrderedDict((name, torch.nn.Linear(2, 2)) for name in ("conv1", "conv2", "fc8")))
    first = MomentumSGD(parameter_groups(net, 0.1, DECAY, 2.0, False, rate_scales={"fc8": 0.0}), 0.1, MOMENTUM, DECAY)
    for group in first.param_groups:
        group["lr"] *= 0 if group["name"].startswith("conv1.") else 0.01
    second = MomentumSGD(parameter_groups(net, 0.1, DECAY, 2.0, False), 0.1, MOMENTUM, DECAY)
    second.load_state_dict(first.state_dict())
    assert [group["lr"] for group in second.param_groups] == pytest.approx([0, 0, *[0.001, 0.002] * 2])


def test_state_without_momentum_has_no_velocity_and_resumes() -> None:
    problem, rates = Problem(), [0.01] * 4
    whole = walk(ours(problem, momentum=0.0), problem, rates)
    first = ours(problem, momentum=0.0)
    walk(first, problem, rates[:2])
    assert not any(first.state_dict()["state"].values())
    second = MomentumSGD([torch.nn.Parameter(first.param_groups[0]["params"][0].detach().clone())], lr=1.0)
    second.load_state_dict(first.state_dict())
    assert np.array_equal(walk(second, problem, rates[2:], start=2), whole[2:])


def test_float32_parameters_match_the_rule() -> None:
    """Also beside float64 parameters, which cannot share a multi-tensor operation with them."""
    single, double = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = MomentumSGD([single, double], lr=0.1)
    for _ in range(3):
        single.grad, double.grad = torch.ones(3), torch.ones(3, dtype=torch.float64)
        optimizer.step()
    w, v = 1.0, 0.0
    for _ in range(3):
        v = 0.9 * v - 0.0005 * 0.1 * w - 0.1
        w += v
    assert double.tolist() == pytest.approx([w] * 3, rel=1e-14)
    assert single.tolist() == pytest.approx([w] * 3, rel=1e-5)


def test_torch_schedulers_work() -> None:
    problem = Problem()
    optimizer = ours(problem)
    scheduler = MultiStepLR(optimizer, milestones=[10, 20])
    (w,) = optimizer.param_groups[0]["params"]
    for step in range(30):
        w.grad = torch.from_numpy(problem.gradient(w.detach().numpy(), step))
        optimizer.step()
        scheduler.step()
    wanted = written_out(problem, [0.01] * 10 + [0.001] * 10 + [0.0001] * 10)[-1]
    np.testing.assert_allclose(w.detach().numpy(), wanted, rtol=1e-10)


def test_torch_schedulers_change_every_group() -> None:
    weight, bias = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    optimizer = MomentumSGD([{"params": [weight], "lr": 0.01}, {"params": [bias], "lr": 0.02}])
    scheduler = LambdaLR(optimizer, [lambda epoch: 0.1**epoch, lambda epoch: 1.0])
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.001, 0.02])
    plateau = ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    plateau.step(1.0)
    plateau.step(1.0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0001, 0.002])


@pytest.mark.parametrize(
    ("name", "said"), [("lr", "learning rate"), ("momentum", "momentum"), ("weight_decay", "weight_decay")]
)
def test_negative_constant_is_refused_by_name(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"{said}|{name}"):
        MomentumSGD([torch.nn.Parameter(torch.ones(1))], **{name: -0.1})


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


@pytest.mark.parametrize("of", ["grad", "velocity"])
def test_fused_update_handles_different_memory_formats(of: str):
    """torch's fused kernel ignores strides; a layout that changed on resuming must not matter."""
    torch.manual_seed(0)
    start, grad = torch.randn(4, 3, 5, 5), torch.randn(4, 3, 5, 5)
    weights = [nn.Parameter(start.clone()) for _ in range(2)]
    plain, fused = (MomentumSGD([w], 0.1, fused=f) for w, f in zip(weights, (False, True), strict=True))
    for step in range(3):
        for weight in weights:
            weight.grad = grad.clone()
        if of == "grad":
            weights[1].grad = grad.clone(memory_format=torch.channels_last)
        elif step:
            state = fused.state[weights[1]]
            state["u"] = state["u"].clone(memory_format=torch.channels_last)
        plain.step()
        fused.step()
    torch.testing.assert_close(weights[1], weights[0])


def test_restored_velocity_has_the_layout_of_its_weight() -> None:
    """A checkpoint of two towers has contiguous velocities; weights in channels-last would leave the fused kernel."""
    weight = nn.Parameter(torch.randn(4, 3, 5, 5).contiguous(memory_format=torch.channels_last))
    saved, resumed = (MomentumSGD([weight], 0.1, fused=True) for _ in range(2))
    weight.grad = torch.randn_like(weight)
    saved.step()
    state = saved.state_dict()
    velocity = state["state"][0]["u"] = state["state"][0]["u"].contiguous()
    resumed.load_state_dict(state)
    restored = resumed.state[weight]["u"]
    assert restored.stride() == weight.stride() != velocity.stride()
    assert torch.equal(restored, velocity)


@pytest.mark.parametrize("fused", [False, True])
def test_layer_unfrozen_later_is_updated_like_a_single_layer(fused: bool):
    torch.manual_seed(0)
    starts, grads = torch.randn(2, 5), torch.randn(4, 2, 5)
    together, alone = ([nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    joint = MomentumSGD([{"params": [w]} for w in together], 0.1, fused=fused)
    single = [MomentumSGD([w], 0.1, fused=fused) for w in alone]
    for step, grad in enumerate(grads):
        for weights in (together, alone):
            for weight, own in zip(weights, grad, strict=True):
                weight.grad = own.clone()
        joint.param_groups[1]["lr"] = single[1].param_groups[0]["lr"] = 0.1 if step > 1 else 0.0
        for optimizer in (joint, *single):
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(together[1], starts[1])
