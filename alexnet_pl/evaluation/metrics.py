"""Top-1 and top-5 error (§2), each image counted once."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric


class ErrorRates(Metric):
    """Sums of wrong answers over a whole set: "the fraction of test images for which the correct label is not among
    the five labels considered most probable" (§2), in percent, and the mean negative log-probability in nats.

    An image whose scores are not all finite counts as wrong (torchmetrics' own accuracy takes NaN for half right),
    is left out of the mean, and is counted in `nonfinite`. With fewer than five classes, top-5 is top-of-all.
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
        best = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
        right1, right5 = best[:, 0] & finite, best.any(1) & finite
        nll = F.cross_entropy(scores, labels, reduction="none")
        self.count += len(labels)
        self.wrong1 += len(labels) - right1.sum()
        self.wrong5 += len(labels) - right5.sum()
        self.nonfinite += len(labels) - finite.sum()
        self.nll += nll.where(finite, 0.0).sum()

    def compute(self) -> dict[str, Tensor]:
        """`top1_error` and `top5_error` in percent, `nll` in nats an image, `count` and `nonfinite` in images."""
        return {
            "top1_error": 100 * self.wrong1 / self.count,
            "top5_error": 100 * self.wrong5 / self.count,
            "nll": self.nll / (self.count - self.nonfinite),
            "count": self.count,
            "nonfinite": self.nonfinite,
        }
