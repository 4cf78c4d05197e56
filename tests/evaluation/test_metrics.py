"""Top-1 and top-5 error against torchmetrics, torch and counting by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from alexnet_pl.evaluation.metrics import ErrorRates


def batch(count: int = 400, classes: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Scores that are right more often than chance, so that neither error is near 0 or 100 %."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=chance)
    scores = torch.randn(count, classes, generator=chance) + 1.5 * F.one_hot(labels, classes)
    return scores, labels


def found(*batches: tuple[Tensor, Tensor]) -> dict[str, float]:
    errors = ErrorRates()
    for scores, labels in batches:
        errors.update(scores, labels)
    return {name: float(value) for name, value in errors.compute().items()}


@pytest.mark.parametrize("classes", [5, 6, 20, 1000])
@pytest.mark.parametrize("k", [1, 5])
def test_errors_match_torchmetrics(classes: int, k: int) -> None:
    scores, labels = batch(classes=classes)
    accuracy = MulticlassAccuracy(num_classes=classes, top_k=k, average="micro")(scores, labels)
    assert found((scores, labels))[f"top{k}_error"] == pytest.approx(100 * (1 - accuracy.item()), abs=1e-4)


def test_errors_of_a_batch_counted_by_hand() -> None:
    """Label 0 ranks 1st, 2nd, 5th, 6th and last of six: top-1 error 4/5, top-5 error 2/5."""
    rows = [[9, 1, 2, 3, 4, 5], [8, 9, 2, 3, 4, 5], [2, 9, 1, 3, 4, 5], [1.5, 9, 2, 3, 4, 5.0], [0, 9, 2, 3, 4, 5]]
    values = found((torch.tensor(rows, dtype=torch.float32), torch.zeros(5, dtype=torch.int64)))
    assert values["top1_error"] == pytest.approx(80.0)
    assert values["top5_error"] == pytest.approx(40.0)
    assert values["count"] == 5


def test_loss_is_torchs_cross_entropy_per_image() -> None:
    scores, labels = batch()
    assert found((scores, labels))["nll"] == pytest.approx(F.cross_entropy(scores.double(), labels).item(), rel=1e-6)


def test_log_probabilities_give_the_same_metrics_as_logits() -> None:
    """The mean over ten views is a log-probability, which log-softmax leaves unchanged."""
    scores, labels = batch()
    assert found((scores.log_softmax(1), labels)) == pytest.approx(found((scores, labels)), rel=1e-5)


def test_bfloat16_scores_are_summed_in_float32() -> None:
    """1000 classes: a sum of exponentials in bfloat16 would be wrong by several percent."""
    scores, labels = batch(classes=1000)
    rounded = scores.bfloat16()
    wanted = F.cross_entropy(rounded.double(), labels).item()
    assert found((rounded, labels))["nll"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at_label", [True, False])
def test_image_with_a_nan_score_is_an_error(bad: float, at_label: bool) -> None:
    """The rest of the batch is right. A label score of +∞ is not a correct answer either."""
    labels = torch.arange(10)
    scores = 5.0 * F.one_hot(labels, 10) + torch.linspace(0, 1, 10)
    good = found((scores[1:], labels[1:]))
    scores[0, 0 if at_label else 7] = bad
    values = found((scores, labels))
    assert values["top1_error"] == pytest.approx(10.0)
    assert values["top5_error"] == pytest.approx(10.0)
    assert values["nonfinite"] == 1
    assert values["count"] == 10
    assert values["nll"] == pytest.approx(good["nll"], rel=1e-6), "the mean is over images that have a loss"


def test_all_nan_scores_are_errors_with_nan_loss() -> None:
    """torchmetrics counts NaN as right half of the time; a diverged network must not be."""
    values = found((torch.full((8, 10), math.nan), torch.arange(8)))
    assert values["top1_error"] == values["top5_error"] == 100.0
    assert values["nonfinite"] == values["count"] == 8
    assert not values["nll"] < 100


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
def test_fewer_than_five_classes_have_no_top_5_error(classes: int) -> None:
    scores, labels = batch(classes=classes)
    values = found((scores, labels))
    assert values["top5_error"] == 0.0
    wrong = (scores.argmax(1) != labels).double().mean().item()
    assert values["top1_error"] == pytest.approx(100 * wrong, abs=1e-4)
    broken = scores.clone()
    broken[0] = math.nan
    assert found((broken, labels))["top5_error"] == pytest.approx(100 / len(labels), abs=1e-4)


@pytest.mark.parametrize("sizes", [[400], [1, 399], [128, 128, 128, 16], [7] * 57 + [1]])
def test_uneven_batches_are_weighted_by_size(sizes: list[int]) -> None:
    """A mean of batch means would give the small last batch too much weight."""
    scores, labels = batch()
    parts = list(zip(scores.split(sizes), labels.split(sizes), strict=True))
    whole = {
        "top1_error": 100 * (scores.argmax(1) != labels).double().mean().item(),
        "top5_error": 100 * (1 - (scores.topk(5).indices == labels[:, None]).any(1).double().mean().item()),
        "nll": F.cross_entropy(scores.double(), labels).item(),
        "count": 400,
        "nonfinite": 0,
    }
    assert found(*parts) == pytest.approx(whole, rel=1e-5)


def test_merged_states_equal_a_single_device() -> None:
    scores, labels = batch()
    scores[5, 3] = math.nan
    one, other = ErrorRates(), ErrorRates()
    one.update(scores[:150], labels[:150])
    other.update(scores[150:], labels[150:])
    one.merge_state(other)
    merged = {name: float(value) for name, value in one.compute().items()}
    assert merged == pytest.approx(found((scores, labels)), rel=1e-6)


def test_states_are_summed_over_devices() -> None:
    """Under DDP, Lightning lets torchmetrics reduce each state by the function it was added with."""
    errors = ErrorRates()
    assert set(errors._reductions) == {"count", "wrong1", "wrong5", "nonfinite", "nll"}
    stacked = torch.tensor([3, 4])
    assert {int(reduce(stacked)) for reduce in errors._reductions.values()} == {7}


def test_counts_are_exact_beyond_two_to_the_24() -> None:
    """Above 2²⁴, adding 1 to a float32 sum has no effect; a run sees the 15 million images of Fall 2011 repeatedly."""
    scores, labels = batch(count=1, classes=10)
    errors = ErrorRates()
    errors.update(-scores, labels)
    for name in ("count", "wrong1", "wrong5", "nonfinite"):
        getattr(errors, name).fill_(2**24)
    errors.update(torch.full((1, 10), math.nan), labels)
    values = {name: int(getattr(errors, name)) for name in ("count", "wrong1", "wrong5", "nonfinite")}
    assert set(values.values()) == {2**24 + 1}


def test_reset_clears_all_counts() -> None:
    errors = ErrorRates()
    errors.update(*batch(seed=1))
    errors.compute()
    errors.reset()
    errors.update(*batch(seed=2))
    again = {name: float(value) for name, value in errors.compute().items()}
    assert again == pytest.approx(found(batch(seed=2)))


def test_metrics_have_no_checkpoint_state_and_leave_scores_unchanged() -> None:
    scores, labels = batch()
    scores[0, 0] = math.nan
    kept = scores.clone()
    errors = ErrorRates()
    errors.update(scores, labels)
    assert errors.state_dict() == {}
    assert torch.equal(torch.nan_to_num(scores, 77.0), torch.nan_to_num(kept, 77.0))
