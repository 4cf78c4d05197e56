"""Momentum SGD (§6) against the rule in float64, and against torch's SGD, which differs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from momentum_rule import DECAY, MOMENTUM, Problem, ours, parameter, walk, written_out
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR, ReduceLROnPlateau

from alexnet_pl.training.optimizer import MomentumSGD


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
    optimizer, calls = MomentumSGD([w], lr=0.1, fused=True), []
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
    ("name", "value"), [("lr", -0.1), ("momentum", -0.1), ("momentum", 1.0), ("weight_decay", -0.1), ("lr", np.nan)]
)
def test_constant_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}={value}: at least 0"):
        MomentumSGD([torch.nn.Parameter(torch.ones(1))], **{name: value})


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
