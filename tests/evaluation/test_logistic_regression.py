"""Logistic regression against Newton's method in float64; random draws of images per class."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as minimize_by_scipy
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from alexnet_pl.evaluation import logistic_regression
from alexnet_pl.evaluation.logistic_regression import (
    FEWEST_PAIRS,
    MOST_PAIRS,
    FeatureRows,
    LinearClassifier,
    count_all_errors,
    count_errors,
    draw_by_class,
    fit_penalties,
    memory_of_fit,
    minimize,
    pairs_within,
    rows_by_class,
    split_by_class,
)


def clouds(count: int, width: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(count) % classes
    centers = torch.randn(classes, width, dtype=torch.float64, generator=generator)
    noise = torch.randn(count, width, dtype=torch.float64, generator=generator)
    return 40 + 5 * (centers[labels] + 1.5 * noise), labels


def newton(features: Tensor, labels: Tensor, classes: int, penalty: float) -> Tensor:
    """Scores (N, classes) of the exact minimum, by Newton's method with autograd's Hessian."""
    centered = features - features.mean(0)
    inputs = centered / centered.square().sum(1).mean().sqrt()
    width = inputs.shape[1]

    def loss(flat: Tensor) -> Tensor:
        weight, bias = flat[: classes * width].view(classes, width), flat[classes * width :]
        return F.cross_entropy(inputs @ weight.T + bias, labels) + penalty / 2 * weight.square().sum()

    flat = torch.zeros(classes * (width + 1), dtype=torch.float64)
    for _ in range(40):
        hessian = torch.autograd.functional.hessian(loss, flat)
        gradient = torch.autograd.functional.jacobian(loss, flat)
        flat = flat - torch.linalg.lstsq(hessian, gradient[:, None], driver="gelsd").solution[:, 0]
    return inputs @ flat[: classes * width].view(classes, width).T + flat[classes * width :]


@pytest.mark.parametrize(("count", "width"), [(60, 4), (6, 25)], ids=["many", "fewer than numbers"])
def test_minimum_matches_newtons_method(count: int, width: int) -> None:
    features, labels = clouds(count, width)
    for penalty, classifier in fit_penalties(FeatureRows(features), labels, 3, [1e-2, 1e-3]):
        wanted = newton(features, labels, 3, penalty)
        torch.testing.assert_close(
            classifier.scores(features).softmax(1), wanted.softmax(1), rtol=0, atol=1e-5, msg=f"penalty {penalty}"
        )


def test_float16_features_match_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic_regression, "BLOCK", 7 * 6)
    features, labels = clouds(50, 6)
    half = features.half()
    ((_, small),) = fit_penalties(FeatureRows(half), labels, 3, [1e-2])
    ((_, exact),) = fit_penalties(FeatureRows(half.double()), labels, 3, [1e-2])
    found, wanted = small.scores(half.float()), exact.scores(half.double())
    torch.testing.assert_close(found.softmax(1).double(), wanted.softmax(1), rtol=0, atol=1e-3)
    assert count_errors(found, labels) == count_errors(wanted, labels)


def objective(classifier: LinearClassifier, features: Tensor, labels: Tensor, penalty: float) -> float:
    exact = LinearClassifier(*(part.double() for part in classifier))
    loss = F.cross_entropy(exact.scores(features.double()), labels)
    return float(loss + penalty / 2 * exact.weight.square().sum())


def least_objective(features: Tensor, labels: Tensor, classes: int, penalty: float) -> float:
    """By scipy's L-BFGS in float64, which runs until it converges."""
    centered = features.double() - features.double().mean(0)
    inputs = centered / centered.square().sum(1).mean().sqrt()

    def loss(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        flat = torch.tensor(numbers, requires_grad=True)
        weight, bias = flat[classes:].view(classes, -1), flat[:classes]
        value = F.cross_entropy(inputs @ weight.T + bias, labels) + penalty / 2 * weight.square().sum()
        value.backward()
        assert flat.grad is not None
        return value.item(), flat.grad.numpy()

    start = np.zeros(classes * (1 + features.shape[1]))
    options = {"maxiter": 20_000, "maxfun": 20_000, "maxcor": 50, "ftol": 1e-15, "gtol": 1e-9}
    return float(minimize_by_scipy(loss, start, jac=True, method="L-BFGS-B", options=options).fun)


def test_weak_penalty_converges_with_correlated_features() -> None:
    """With 10 pairs of vectors and 100 steps the objective was 2 % too large here."""
    generator = torch.Generator().manual_seed(0)
    features = (torch.randn(600, 64, generator=generator) + 3 * torch.randn(600, 1, generator=generator)).relu().half()
    noise = 4 * torch.randn(600, 10, generator=generator)
    labels = (features.float() @ torch.randn(64, 10, generator=generator) + 3 * noise).argmax(1)
    for penalty, classifier in fit_penalties(FeatureRows(features), labels, 10, [1e-2, 1e-4, 1e-6]):
        found = objective(classifier, features, labels, penalty)
        assert found == pytest.approx(least_objective(features, labels, 10, penalty), rel=1e-4), penalty


class NoDouble(TorchDispatchMode):
    """Fails where a tensor of float64 is made, as Apple's GPUs do."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        assert not isinstance(made, Tensor) or made.dtype != torch.float64, func
        return made


def test_fit_of_float32_makes_no_float64() -> None:
    features, labels = clouds(30, 4)
    inputs = ((features - 40) / 10).float()
    weight, bias = torch.zeros(3, 4), torch.zeros(3)
    with NoDouble():
        minimize(weight, bias, lambda: iter([inputs]), labels, 1e-2, 10)
    assert weight.abs().sum() > 0.1


@pytest.mark.parametrize("kept", [0, 1e9], ids=["larger than what is kept", "kept"])
def test_fit_of_chosen_rows_read_in_blocks_matches_newtons_method(monkeypatch: pytest.MonkeyPatch, kept: float) -> None:
    """As of a million images in a memory map, of which a fifth is held out: neither is copied as a whole."""
    monkeypatch.setattr(logistic_regression, "BLOCK", 8 * 4)
    monkeypatch.setattr(logistic_regression, "KEPT", kept)
    features, labels = clouds(75, 4)
    chosen = torch.arange(75)[torch.arange(75) % 5 > 0]
    part = FeatureRows(features).rows(torch.arange(0, 75)).rows(chosen)
    assert [len(block) for block in part.blocks()] == [8] * 7 + [4]
    for penalty, classifier in fit_penalties(part, labels[chosen], 3, [1e-2, 1e-3]):
        wanted = newton(features[chosen], labels[chosen], 3, penalty)
        found = classifier.scores(features[chosen])
        torch.testing.assert_close(found.softmax(1), wanted.softmax(1), rtol=0, atol=1e-5)
        assert count_all_errors(classifier, part, labels[chosen]) == count_errors(wanted, labels[chosen])


@pytest.mark.parametrize(("classes", "width", "gigabytes"), [(1000, 4096, 3), (21841, 4096, 17), (1000, 290400, 40)])
def test_memory_of_a_fit(classes: int, width: int, gigabytes: float) -> None:
    """ILSVRC on fc7, Fall 2011 on fc7, ILSVRC on conv1."""
    assert memory_of_fit(classes, width) / 1e9 == pytest.approx(gigabytes, rel=0.1)


def test_pairs_of_vectors_fill_the_memory_at_most() -> None:
    for memory in (7e9, 12e9, 19e9):
        pairs = pairs_within(memory, 5000, 4096)
        assert FEWEST_PAIRS < pairs < MOST_PAIRS
        assert memory_of_fit(5000, 4096, pairs) <= memory < memory_of_fit(5000, 4096, pairs + 1)
    assert (pairs_within(1e9, 5000, 4096), pairs_within(1e12, 5000, 4096)) == (FEWEST_PAIRS, MOST_PAIRS)


def test_penalties_are_yielded_largest_first_with_growing_weights() -> None:
    features, labels = clouds(40, 5)
    found = list(fit_penalties(FeatureRows(features), labels, 3, [1e-4, 1e-1, 1e-2]))
    assert [penalty for penalty, _ in found] == [1e-1, 1e-2, 1e-4]
    norms = [float(classifier.weight.norm()) for _, classifier in found]
    assert norms == sorted(norms)


def test_errors_are_counted_by_rank() -> None:
    scores = torch.tensor([[9.0, 8, 7, 6, 5, 4, 3], [1, 2, 3, 4, 5, 6, 7], [0, 0, 9, 0, 0, 0, 0]])
    assert count_errors(scores, torch.tensor([4, 1, 2])) == (2, 1)


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_each_class_are_those_that_a_search_per_class_finds(seed: int) -> None:
    """In random order, with classes that do not occur; draws by seed stay those of earlier versions."""
    labels = np.random.default_rng(seed).choice([0, 2, 3, 900], 200, p=[0.1, 0.2, 0.695, 0.005])
    wanted = [np.flatnonzero(labels == label) for label in sorted(set(labels.tolist()))]
    found = rows_by_class(labels)
    assert [rows.tolist() for rows in found] == [rows.tolist() for rows in wanted]
    generator = np.random.default_rng(seed)
    drawn = np.concatenate([generator.permutation(rows)[:7] for rows in wanted])
    assert draw_by_class(labels, 7, seed).tolist() == sorted(drawn.tolist())


def test_images_are_drawn_by_class() -> None:
    labels = np.repeat([0, 1, 2], [13, 18, 5])
    rest, chosen = split_by_class(labels, 0.2, seed=1)
    assert np.bincount(labels[chosen]).tolist() == [3, 4, 1], "2.6, 3.6 and 1, rounded"
    assert sorted([*rest, *chosen]) == list(range(36))
    assert split_by_class(labels, 0.2, seed=1)[1].tolist() == chosen.tolist()
    assert split_by_class(labels, 0.2, seed=2)[1].tolist() != chosen.tolist()
    drawn = draw_by_class(labels, 3, seed=0)
    assert np.bincount(labels[drawn]).tolist() == [3, 3, 3]
    assert len(set(drawn.tolist())) == 9
