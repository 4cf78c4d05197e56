"""Multinomial logistic regression on fixed features by L-BFGS: the classifier of a linear probe."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

ITERATIONS = 100  # of L-BFGS per penalty, unless it converges earlier
BLOCK = 8192  # images standardized at a time


class LinearClassifier(NamedTuple):
    """Linear classifier with scores weight · (x − mean) / scale + bias for features x."""

    mean: Tensor  # (width,)
    scale: Tensor  # (), root mean square length of x − mean over the fitted images
    weight: Tensor  # (classes, width)
    bias: Tensor  # (classes,)

    def scores(self, features: Tensor) -> Tensor:
        """(N, width) → (N, classes)."""
        return torch.cat([self.standardize(block) @ self.weight.T + self.bias for block in features.split(BLOCK)])

    def standardize(self, features: Tensor) -> Tensor:
        return (features.to(self.mean.dtype) - self.mean) / self.scale


def fit_penalties(
    features: Tensor, labels: Tensor, classes: int, penalties: Sequence[float]
) -> Iterator[tuple[float, LinearClassifier]]:
    """Minimize mean cross-entropy + penalty / 2 · Σ weight² for each penalty; biases are not penalized. Yields
    (penalty, classifier), the largest penalty first, each fit starting from the one before.

    features: (N, width), computed in float64 if they are float64, else in float32; labels: (N,) int64.
    """
    values = features.to(torch.float64 if features.dtype == torch.float64 else torch.float32, copy=True)
    mean = values.mean(0)
    values -= mean  # in place: for ILSVRC's million images and fc7, one copy takes 21 GB
    squares = torch.stack([block.square().sum() for block in values.split(BLOCK)]).sum()
    scale = (squares / len(values)).sqrt().clamp_min(torch.finfo(values.dtype).tiny)
    inputs, basis = reduce_width(values.div_(scale))
    weight, bias = inputs.new_zeros(classes, inputs.shape[1]), inputs.new_zeros(classes)
    for penalty in sorted(penalties, reverse=True):
        minimize(weight, bias, inputs, labels, penalty)
        whole = weight.clone() if basis is None else weight @ basis.T
        yield penalty, LinearClassifier(mean, scale, whole, bias.clone())


def reduce_width(inputs: Tensor) -> tuple[Tensor, Tensor | None]:
    """Project inputs (N, width) with N ≤ width / 4 onto an orthonormal basis of their span, (width, N).

    The penalty keeps the optimal weights in that span, so the solution is the same and is found faster. Returns
    (coordinates, basis), or (inputs, None) for more inputs.
    """
    if 4 * len(inputs) > inputs.shape[1]:
        return inputs, None
    basis, coordinates = torch.linalg.qr(inputs.T)
    return coordinates.T.contiguous(), basis


def minimize(weight: Tensor, bias: Tensor, inputs: Tensor, labels: Tensor, penalty: float) -> None:
    """Minimize the penalized cross-entropy by L-BFGS, changing `weight` and `bias` in place."""
    rows = torch.arange(len(labels), device=labels.device)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        logs = F.log_softmax(inputs @ weight.T + bias, 1)
        loss = F.nll_loss(logs, labels)
        excess = logs.exp_()  # in place: the scores of a million images take 5 GB
        excess[rows, labels] -= 1
        excess /= len(labels)
        weight.grad, bias.grad = excess.T @ inputs + penalty * weight, excess.sum(0)
        return loss + penalty / 2 * weight.square().sum()

    optimizer.step(closure)  # type: ignore[arg-type]


def count_errors(scores: Tensor, labels: Tensor) -> tuple[int, int]:
    """Count top-1 and top-5 errors of scores (N, classes)."""
    best = scores.topk(min(5, scores.shape[1]), 1).indices == labels[:, None]
    return int((~best[:, 0]).sum()), int((~best.any(1)).sum())


def split_by_class(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows at random, class by class: (the rest, `share` of each class), sorted row numbers."""
    chosen = np.zeros(len(labels), bool)
    generator = np.random.default_rng(seed)
    for rows_of_class in rows_by_class(labels):
        rows = generator.permutation(rows_of_class)
        chosen[rows[: round(share * len(rows))]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def draw_by_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw `count` random images of each class, or all if a class has fewer: row numbers."""
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(rows_of_class)[:count] for rows_of_class in rows_by_class(labels)]
    return np.sort(np.concatenate(rows))


def rows_by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Row numbers of each class that occurs, ascending, in the order of the classes."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
