"""Multinomial logistic regression on fixed features by L-BFGS: the classifier of a linear probe."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.runtime.available_memory import available_memory

ITERATIONS = 300  # of L-BFGS per penalty, unless it converges earlier
# pairs of vectors, each as large as the weights, that L-BFGS keeps; with fewer it is slower at weak penalties
FEWEST_PAIRS, MOST_PAIRS = 10, 100
HISTORY = 4e9  # bytes of all pairs: enough for 100 pairs of ILSVRC's fc7; fewer on devices with little memory
OTHER_VECTORS = 12  # of that size in a fit: those of the line search and its gradients, counted upwards
BLOCK = 2**25  # numbers standardized at a time: 8,192 images of 4,096
KEPT = 2e9  # bytes; inputs of this size are standardized once, larger ones in each step of L-BFGS
Blocks = Callable[[], Iterator[Tensor]]
"""Reads inputs (N, width) block by block."""


@dataclass(frozen=True)
class FeatureRows:
    """Rows `numbers` of `values`, or all of them, read block by block: ILSVRC's million images and fc7 take 10 GB as
    float16, which may be a memory map, and 21 GB as float32."""

    values: Tensor  # (N, width), float64 or, computed in float32, a smaller type
    numbers: Tensor | None = None
    device: torch.device | None = None  # to compute on; by default that of the values

    def __len__(self) -> int:
        return len(self.values if self.numbers is None else self.numbers)

    @property
    def width(self) -> int:
        return self.values.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Type to compute in."""
        return torch.float64 if self.values.dtype == torch.float64 else torch.float32

    @property
    def computed_on(self) -> torch.device:
        return self.device or self.values.device

    @property
    def step(self) -> int:
        """Rows of a block."""
        return max(1, BLOCK // self.width)

    def rows(self, numbers: Tensor) -> "FeatureRows":
        chosen = numbers if self.numbers is None else self.numbers[numbers]
        return FeatureRows(self.values, chosen, self.device)

    def blocks(self) -> Iterator[Tensor]:
        """(step, width) float32 or float64; fewer rows in the last."""
        for start in range(0, len(self), self.step):
            rows = slice(start, start + self.step)
            block = self.values[rows if self.numbers is None else self.numbers[rows]]
            yield block.to(self.computed_on).to(self.dtype)


class LinearClassifier(NamedTuple):
    """Linear classifier with scores weight · (x − mean) / scale + bias for features x."""

    mean: Tensor  # (width,)
    scale: Tensor  # (), root mean square length of x − mean over the fitted images
    weight: Tensor  # (classes, width)
    bias: Tensor  # (classes,)

    def scores(self, block: Tensor) -> Tensor:
        """(N, width) → (N, classes)."""
        return (block - self.mean) / self.scale @ self.weight.T + self.bias


def memory_of_fit(classes: int, width: int, pairs: int = FEWEST_PAIRS) -> float:
    """Bytes that fitting a classifier takes at most, besides the features, if L-BFGS keeps `pairs` pairs of vectors."""
    block = BLOCK + max(1, BLOCK // width) * classes  # inputs and scores, each with intermediate results
    return 4 * (2 * pairs + OTHER_VECTORS) * classes * width + 4 * 4 * block + KEPT


def pairs_within(memory: float, classes: int, width: int) -> int:
    """Number of pairs of vectors that a fit in `memory` bytes can keep."""
    pairs = (memory - memory_of_fit(classes, width, 0)) / (4 * 2 * classes * width)
    return max(FEWEST_PAIRS, min(MOST_PAIRS, int(pairs)))


def fit_penalties(
    features: FeatureRows, labels: Tensor, classes: int, penalties: Sequence[float]
) -> Iterator[tuple[float, LinearClassifier]]:
    """Minimize mean cross-entropy + penalty / 2 · Σ weight² for each penalty; biases are not penalized. Yields
    (penalty, classifier), the largest penalty first, each fit starting from the one before.

    labels: (N,) int64.
    """
    memory = min(available_memory(features.computed_on) / 2, memory_of_fit(classes, features.width, 0) + HISTORY)
    pairs = pairs_within(memory, classes, features.width)
    mean, scale = moments(features)
    blocks, width, basis = reduce_width(standardize(features, mean, scale), len(features), features.width)
    weight, bias = mean.new_zeros(classes, width), mean.new_zeros(classes)
    for penalty in sorted(penalties, reverse=True):
        minimize(weight, bias, blocks, labels, penalty, pairs)
        whole = weight.clone() if basis is None else weight @ basis.T
        yield penalty, LinearClassifier(mean, scale, whole, bias.clone())


def moments(features: FeatureRows) -> tuple[Tensor, Tensor]:
    """Mean (width,), and root mean square length () of the difference from it. Sums over blocks are in float64."""
    total = torch.zeros(features.width, dtype=torch.float64)
    for block in features.blocks():
        total += block.sum(0).cpu()
    mean = (total / len(features)).to(features.dtype).to(features.computed_on)  # Apple's GPUs lack float64
    squares = sum(float((block - mean).square().sum()) for block in features.blocks())
    scale = mean.new_tensor((squares / len(features)) ** 0.5)
    return mean, scale.clamp_min(torch.finfo(mean.dtype).tiny)


def standardize(features: FeatureRows, mean: Tensor, scale: Tensor) -> Blocks:
    def read() -> Iterator[Tensor]:
        return ((block - mean) / scale for block in features.blocks())

    if len(features) * features.width * mean.element_size() > KEPT:
        return read
    kept = list(read())
    return lambda: iter(kept)


def reduce_width(blocks: Blocks, count: int, width: int) -> tuple[Blocks, int, Tensor | None]:
    """Project N ≤ width / 4 inputs (N, width) onto an orthonormal basis of their span, (width, N).

    The penalty keeps the optimal weights in that span, so the solution is the same and is found faster. Returns
    (coordinates, their number, basis), or (inputs, width, None) for more inputs.
    """
    if 4 * count > width:
        return blocks, width, None
    basis, coordinates = torch.linalg.qr(torch.cat(list(blocks())).T)
    kept = coordinates.T.contiguous()
    return lambda: iter([kept]), len(coordinates), basis


def minimize(weight: Tensor, bias: Tensor, blocks: Blocks, labels: Tensor, penalty: float, pairs: int) -> None:
    """Minimize the penalized cross-entropy by L-BFGS with `pairs` pairs of vectors, changing `weight` and `bias` in
    place."""
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=ITERATIONS,
        history_size=pairs,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:  # a sum of float64, which Apple's GPUs lack
        loss, gradient, bias_gradient = cross_entropy(weight, bias, blocks, labels)
        weight.grad, bias.grad = gradient.add_(weight, alpha=penalty), bias_gradient
        return loss + penalty / 2 * float(weight.square().sum())

    optimizer.step(closure)  # type: ignore[arg-type]


def cross_entropy(weight: Tensor, bias: Tensor, blocks: Blocks, labels: Tensor) -> tuple[float, Tensor, Tensor]:
    """Mean cross-entropy, summed over blocks in float64, and its gradients by weight and bias, block by block: the
    scores of a million images take 5 GB."""
    loss, gradient, bias_gradient = 0.0, torch.zeros_like(weight), torch.zeros_like(bias)
    start = 0
    for inputs in blocks():
        own = labels[start : start + len(inputs), None]
        start += len(inputs)
        logs = F.log_softmax(inputs @ weight.T + bias, 1)
        loss -= float(logs.gather(1, own).sum())
        excess = logs.exp_().scatter_add_(1, own, -torch.ones_like(own, dtype=logs.dtype))
        gradient.addmm_(excess.T, inputs, alpha=1 / len(labels))
        bias_gradient += excess.sum(0) / len(labels)
    return loss / len(labels), gradient, bias_gradient


def count_all_errors(classifier: LinearClassifier, features: FeatureRows, labels: Tensor) -> tuple[int, int]:
    """Count top-1 and top-5 errors of a classifier, block by block."""
    scores = map(classifier.scores, features.blocks())
    counts = [count_errors(block, own) for block, own in zip(scores, labels.split(features.step), strict=True)]
    return sum(top1 for top1, _ in counts), sum(top5 for _, top5 in counts)


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
