"""The update rule of §6 (§5 of 2012), with the learning rate inside the velocity, and who learns at which rate."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class MomentumSGD(Optimizer):
    """v ← 0.9 · v − 0.0005 · ε · w − ε · ⟨∂L/∂w⟩;  w ← w + v   (§6; weights.cu:146 of the authors' program)

    `torch.optim.SGD` keeps ε outside of v. The two agree while ε stays; at a change of ε the paper's velocity goes on
    at its old size for some ten steps where torch's shrinks at once.

    A group whose rate is 0 is left alone: no decay, no last steps of an old velocity (weights.cu:148). All parameters
    with the same constants are updated together, in four multi-tensor operations.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0005
    ) -> None:
        for name, value in {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}.items():
            if not value >= 0:
                raise ValueError(f"{name}={value}: not negative")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for (lr, momentum, weight_decay), weights in self.alike().items():
            grads = [weight.grad for weight in weights]
            velocities = [self.velocity(weight) for weight in weights]
            torch._foreach_mul_(velocities, momentum)
            if weight_decay:
                torch._foreach_add_(velocities, weights, alpha=-lr * weight_decay)
            torch._foreach_add_(velocities, grads, alpha=-lr)
            torch._foreach_add_(weights, velocities)
        return loss

    def alike(self) -> dict[tuple[float, float, float], list[Tensor]]:
        """Parameters with a gradient and a rate above 0, by (rate, momentum, decay)."""
        found = defaultdict(list)
        for group in self.param_groups:
            if group["lr"] != 0:
                key = float(group["lr"]), group["momentum"], group["weight_decay"]
                found[key] += [p for p in group["params"] if p.grad is not None]
        return {key: weights for key, weights in found.items() if weights}

    def velocity(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        return state["velocity"]


def parameter_groups(
    net: nn.Module, lr: float, weight_decay: float, bias_rate: float, bias_decay: bool
) -> list[dict[str, Any]]:
    """One group each for the weights and the biases of every layer, named `conv1.weight`, `conv1.bias`, …

    `bias_rate` is a bias's rate over a weight's: 2 in the program's logs at the start, 1 ("an equal learning rate for
    all layers") in print. The program decays weights alone (layer.cu:565).
    """
    groups = []
    for name, parameter in net.named_parameters():
        bias = name.endswith(".bias")
        rate = lr * bias_rate if bias else lr
        decay = 0.0 if bias and not bias_decay else weight_decay
        groups.append({"name": name, "params": [parameter], "lr": rate, "initial_lr": rate, "weight_decay": decay})
    return groups
