"""Running loss and error of an epoch (Figure 1), by hand."""

import math

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from alexnet_pl.training.running_sums import RunningSums

LOGITS, LABELS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), torch.zeros(3, dtype=torch.int64)  # one is wrong


def test_loss_and_error_are_means_over_images_since_the_last_log_and_over_the_epoch() -> None:
    sums, strategy = RunningSums(), SingleDeviceStrategy()
    assert math.isnan(sums.epoch_error(strategy))
    sums.add(torch.tensor(0.5), LOGITS, LABELS)
    sums.add(torch.tensor(1.0), LOGITS[:1], LABELS[:1])
    assert sums.take(strategy) == pytest.approx(((3 * 0.5 + 1) / 4, 25))
    sums.add(torch.tensor(3.0), LOGITS[1:2], LABELS[1:2])
    assert sums.epoch_error(strategy) == pytest.approx(40)
    assert sums.take(strategy) == pytest.approx((3, 100))
    assert sums.epoch_error(strategy) == pytest.approx(40)
    sums.reset()
    assert math.isnan(sums.epoch_error(strategy))


def test_restored_sums_continue_the_epoch() -> None:
    sums, resumed, strategy = RunningSums(), RunningSums(), SingleDeviceStrategy()
    for each in (sums, resumed):
        each.add(torch.tensor(0.5), LOGITS, LABELS)
    sums.take(strategy)
    sums.add(torch.tensor(0.5), LOGITS[:1], LABELS[:1])
    resumed.restore(sums.save(strategy))
    assert resumed.epoch_error(strategy) == sums.epoch_error(strategy) == pytest.approx(25)
    assert resumed.take(strategy) == sums.take(strategy) == pytest.approx((0.5, 0))
    assert not sums.state_dict(), "weights alone are in a state_dict"
