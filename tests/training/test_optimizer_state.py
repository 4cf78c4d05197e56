"""State of momentum SGD (§6): resuming is bit-identical, and changed settings apply."""

import io
from collections import OrderedDict

import numpy as np
import pytest
import torch
from momentum_rule import DECAY, MOMENTUM, Problem, ours, walk
from torch import nn

from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups


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
