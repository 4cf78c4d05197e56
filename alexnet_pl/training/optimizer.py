"""Optimizer of §6 (§5 of 2012): momentum SGD with the learning rate inside the velocity, and its parameter groups."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.sgd import sgd

SETTINGS = ("initial_lr", "momentum", "weight_decay")  # keys of a group that no schedule changes


class MomentumSGD(Optimizer):
    """Momentum SGD of §6 (weights.cu:146 of the authors' program):

        v ← 0.9 · v − 0.0005 · ε · w − ε · ⟨∂L/∂w⟩;  w ← w + v

    `torch.optim.SGD` stores u with v = −ε · u, which is equivalent while ε is constant. When ε changes, the paper's
    velocity keeps its size for about ten steps, while torch's shrinks at once. Therefore u is rescaled when ε changes,
    so that v stays the same. The arithmetic is torch's, with `fused` in one pass over memory.

    Groups with a learning rate of 0 are frozen: neither weight decay nor the old velocity moves them (weights.cu:148).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        fused: bool = False,
    ) -> None:
        check_constants(lr=lr, momentum=momentum, weight_decay=weight_decay)
        self.fused = fused
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # lr, momentum, weight decay, fused, has a velocity: the fused kernel cannot mix weights with and without one
        by_settings: dict[tuple[float, float, float, bool, bool], list[Tensor]] = {}
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if group["lr"] != 0 and weights:
                self.rescale_velocity(group, weights)
                settings = group["lr"], group["momentum"], group["weight_decay"]
                for weight in weights:
                    layout = self.fused and self.has_uniform_layout(weight), "u" in self.state[weight]
                    by_settings.setdefault((*settings, *layout), []).append(weight)
        for (lr, momentum, weight_decay, fused, _), weights in by_settings.items():
            self.update(weights, lr, momentum, weight_decay, fused)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore velocities and the rates that the schedule has reached.

        For groups of `parameter_groups`, settings that differ from the saved ones apply from now on: a rate in
        proportion, so that earlier divisions stay.
        """
        configured = [{key: group.get(key) for key in SETTINGS} for group in self.param_groups]
        super().load_state_dict(state_dict)
        self.restore_layout()
        for group, settings in zip(self.param_groups, configured, strict=True):
            if (rate := settings["initial_lr"]) is None:
                continue
            if rate != (saved := group.get("initial_lr", rate)):
                group["lr"] = rate * (group["lr"] / saved if saved else self.divided_to(group["name"]))
            group.update(settings)

    def divided_to(self, name: str) -> float:
        """Factor that the schedule has applied to the rates of the other weights (or biases), for a group that was
        frozen; the largest one, since a schedule freezes conv1."""
        kind = name.rpartition(".")[2]
        alike = [group for group in self.param_groups if group["name"].endswith(f".{kind}") and group["initial_lr"]]
        return max((group["lr"] / group["initial_lr"] for group in alike), default=1.0)

    def restore_layout(self) -> None:
        """Lay out velocities like their weights: checkpoints of two towers have them contiguous, and the fused kernel
        needs equal layouts."""
        for weight, state in self.state.items():
            if (u := state.get("u")) is not None and u.stride() != weight.stride():
                state["u"] = torch.empty_like(weight).copy_(u)

    def rescale_velocity(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        """Rescale u when the learning rate of a group has changed, so that v keeps its size."""
        previous = group.setdefault("last_lr", group["lr"])
        if previous != group["lr"]:
            for weight in weights:
                if (u := self.state[weight].get("u")) is not None:
                    u.mul_(previous / group["lr"])
            group["last_lr"] = group["lr"]

    def update(self, weights: list[Tensor], lr: float, momentum: float, weight_decay: float, fused: bool) -> None:
        """Update all weights that share the same settings in one call, across groups: fewer kernel launches."""
        grads: list[Tensor] = [weight.grad for weight in weights]  # type: ignore[misc]
        velocities: list[Tensor | None] = [self.state[weight].get("u") for weight in weights]
        sgd(
            weights,
            grads,
            velocities,
            weight_decay=weight_decay,
            momentum=momentum,
            lr=lr,
            dampening=0,
            nesterov=False,
            maximize=False,
            foreach=not fused,
            fused=fused,
        )
        for weight, u in zip(weights, velocities, strict=True):
            if u is not None:  # without momentum there is none
                self.state[weight]["u"] = u

    def has_uniform_layout(self, weight: Tensor) -> bool:
        """Whether weight, gradient and velocity have the same strides, which torch's fused kernel assumes unchecked."""
        u, grad = self.state[weight].get("u"), weight.grad
        assert grad is not None
        return weight.stride() == grad.stride() and (u is None or weight.stride() == u.stride())


def parameter_groups(
    net: nn.Module,
    lr: float,
    weight_decay: float,
    bias_lr_scale: float,
    decay_biases: bool,
    layer_decay: Mapping[str, float] = MappingProxyType({}),
    rate_scales: Mapping[str, float] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Parameter groups for MomentumSGD, one per parameter, named `conv1.weight`, `conv1.bias`, …

    `bias_lr_scale`: ratio of a bias's learning rate to a weight's. In the program's logs it starts at 2; in print it is
    1 ("an equal learning rate for all layers"). The program decays weights only (layer.cu:565). `layer_decay`: weight
    decay of layers that differ from `weight_decay`, as in its CIFAR-10 networks. `rate_scales`: factors of `lr` for
    some layers.
    """
    groups = []
    for name, parameter in net.named_parameters():
        layer, _, kind = name.rpartition(".")
        bias = kind == "bias"
        rate = (lr * bias_lr_scale if bias else lr) * rate_scales.get(layer, 1.0)
        decay = 0.0 if bias and not decay_biases else layer_decay.get(layer, weight_decay)
        groups.append({"name": name, "params": [parameter], "lr": rate, "initial_lr": rate, "weight_decay": decay})
    return groups


def check_constants(**constants: float) -> None:
    """Raise ValueError, naming the constant of §6, for one out of range."""
    for name, value in constants.items():
        if not value >= 0:
            raise ValueError(f"{name}={value}: at least 0")
    if (momentum := constants["momentum"]) >= 1:
        raise ValueError(f"momentum={momentum}: at least 0 and below 1")


def check_layer_decay(layer_decay: Mapping[str, float], net: nn.Module) -> None:
    """Raise ValueError for a layer that the network does not have, or a decay below 0."""
    layers = dict(net.named_children())
    for name, decay in layer_decay.items():
        if name not in layers:
            raise ValueError(f"layer_decay.{name}: the network has no such layer")
        if not decay >= 0:
            raise ValueError(f"layer_decay.{name}={decay}: at least 0")
