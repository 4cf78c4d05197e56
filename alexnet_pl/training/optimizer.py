"""Update rule of §6 (§5 of 2012), with the learning rate inside the velocity, and its parameter groups."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.sgd import sgd


class MomentumSGD(Optimizer):
    """v ← 0.9 · v − 0.0005 · ε · w − ε · ⟨∂L/∂w⟩;  w ← w + v   (§6; weights.cu:146 of the authors' program)

    `torch.optim.SGD` keeps u with v = −ε · u, which is the same while ε stays. When ε changes, the paper's velocity
    goes on at its old size for some ten steps where torch's shrinks at once; so u is then rescaled to leave v as it
    was. The arithmetic, `fused` into one pass over memory or not, is torch's.

    A group whose rate is 0 is left alone: no decay, no last steps of an old velocity (weights.cu:148).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        fused: bool = False,
    ) -> None:
        for name, value in {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}.items():
            if not value >= 0:
                raise ValueError(f"{name}={value}: not negative")
        self.fused = fused
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        together: dict[tuple[float, float, float, bool, bool], list[Tensor]] = {}
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if group["lr"] != 0 and weights:
                self.keep_velocity(group, weights)
                settings = group["lr"], group["momentum"], group["weight_decay"]
                for weight in weights:
                    kind = self.fused and self.alike(weight), "u" in self.state[weight]
                    together.setdefault((*settings, *kind), []).append(weight)
        for (*settings, _), weights in together.items():  # of those that begin, the fused kernel takes none with others
            self.update(weights, *settings)  # type: ignore[arg-type]
        return loss

    def keep_velocity(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        """At a new rate the velocity goes on at its old size."""
        before = group.setdefault("last_lr", group["lr"])
        if before != group["lr"]:
            for weight in weights:
                if (u := self.state[weight].get("u")) is not None:
                    u.mul_(before / group["lr"])
            group["last_lr"] = group["lr"]

    def update(self, weights: list[Tensor], lr: float, momentum: float, weight_decay: float, fused: bool) -> None:
        """All weights of the same settings, whatever their groups, in one call: to a GPU, one launch for many."""
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
            self.state[weight]["u"] = u

    def alike(self, weight: Tensor) -> bool:
        """Whether all of it lies in memory in the same order, which torch's fused kernel takes for granted without a
        word."""
        u, grad = self.state[weight].get("u"), weight.grad
        assert grad is not None
        return weight.stride() == grad.stride() and (u is None or weight.stride() == u.stride())


def parameter_groups(
    net: nn.Module,
    lr: float,
    weight_decay: float,
    bias_lr_scale: float,
    decay_biases: bool,
    no_decay_layers: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """One group each for the weights and the biases of every layer, named `conv1.weight`, `conv1.bias`, …

    `bias_lr_scale` is a bias's rate over a weight's: 2 in the program's logs at the start, 1 ("an equal learning rate
    for all layers") in print. The program decays weights alone (layer.cu:565), and in its CIFAR-10 nets not those of
    `no_decay_layers`.
    """
    groups = []
    for name, parameter in net.named_parameters():
        layer, _, kind = name.rpartition(".")
        bias = kind == "bias"
        rate = lr * bias_lr_scale if bias else lr
        decay = 0.0 if layer in no_decay_layers or (bias and not decay_biases) else weight_decay
        groups.append({"name": name, "params": [parameter], "lr": rate, "initial_lr": rate, "weight_decay": decay})
    return groups
