"""Running loss and error of training (§6, Figure 1), summed on the device."""

import math

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor, nn


class RunningSums(nn.Module):
    """Sums of loss, wrong answers and images: `unlogged`, since metrics were last logged, and `epoch`, from the start
    of the epoch to the last log. They are not part of a `state_dict`.

    An image counts as wrong if the network misclassified it when its minibatch came, before the update. The authors'
    program printed this error too.
    """

    unlogged: Tensor
    epoch: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("unlogged", "epoch"):
            self.register_buffer(name, torch.zeros(3), persistent=False)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a minibatch, without waiting for the device. `loss`: its mean."""
        wrong = (logits.detach().argmax(1) != labels).sum()
        size = torch.full_like(loss, len(labels))
        self.unlogged += torch.stack([loss.detach() * size, wrong, size])

    def reset(self) -> None:
        self.unlogged.zero_()
        self.epoch.zero_()

    def take(self, strategy: Strategy) -> tuple[float, float]:
        """Mean loss, and error in percent, since the last call; over all processes. Waits for the device."""
        sums = add_up(self.unlogged.clone(), strategy).cpu()
        self.epoch += self.unlogged
        self.unlogged.zero_()
        return float(sums[0] / sums[2]), wrong_percent(sums)

    def epoch_error(self, strategy: Strategy) -> float:
        """Running error of the epoch in percent, over all processes (Figure 1)."""
        return wrong_percent(add_up(self.epoch + self.unlogged, strategy))

    def save(self, strategy: Strategy) -> Tensor:
        """(2, 3) sums over all processes, `unlogged` first. After a fit the module may already be on the CPU."""
        return add_up(torch.stack([self.unlogged, self.epoch]).to(strategy.root_device), strategy)

    def restore(self, saved: Tensor) -> None:
        self.unlogged, self.epoch = saved


def add_up(sums: Tensor, strategy: Strategy) -> Tensor:
    total = strategy.reduce(sums, reduce_op="sum")
    assert isinstance(total, Tensor)
    return total


def wrong_percent(sums: Tensor) -> float:
    """Top-1 error in percent of summed (loss, wrong answers, images), in float64, since counts are whole numbers."""
    _, wrong, count = sums.tolist()
    return 100 * wrong / count if count else math.nan
