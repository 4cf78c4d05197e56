"""The update rule of §6 in float64, and optimizers that walk the same noisy quadratic."""

from collections.abc import Sequence

import numpy as np
import torch

from alexnet_pl.training.optimizer import MomentumSGD

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
