"""Top-1 and top-5 error (§3), each image counted once."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric


class ErrorRates(Metric):
    """Top-1 and top-5 error in percent, "the fraction of test images for which the correct label is not among the five
    labels considered most probable" (§3), and the mean negative log-probability in nats.

    An image with a score that is not finite counts as wrong and in `nonfinite`, and is excluded from the mean
    (torchmetrics' accuracy would count NaN as half right). With fewer than five classes, top-5 uses all of them.
    """

    full_state_update = False
    count: Tensor
    wrong1: Tensor
    wrong5: Tensor
    nonfinite: Tensor
    nll: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("count", "wrong1", "wrong5", "nonfinite"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("nll", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """`scores`: (N, classes) logits or log-probabilities; `labels`: (N,) class indices."""
        scores = scores.float()
        finite = scores.isfinite().all(1)
        matches = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
        right1, right5 = matches[:, 0] & finite, matches.any(1) & finite
        nll = F.cross_entropy(scores, labels, reduction="none")
        self.count += len(labels)
        self.wrong1 += len(labels) - right1.sum()
        self.wrong5 += len(labels) - right5.sum()
        self.nonfinite += len(labels) - finite.sum()
        self.nll += nll.where(finite, 0.0).sum()

    def compute(self) -> dict[str, Tensor]:
        """`top1_error` and `top5_error` in percent, `nll` in nats per image, `count` and `nonfinite` in images."""
        return {
            "top1_error": 100 * self.wrong1 / self.count,
            "top5_error": 100 * self.wrong5 / self.count,
            "nll": self.nll / (self.count - self.nonfinite),
            "count": self.count,
            "nonfinite": self.nonfinite,
        }
