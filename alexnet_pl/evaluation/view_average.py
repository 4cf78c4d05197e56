"""Average over views of an image (§5.1, §7): corners, center and their reflections."""

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F


def average_views(
    net: Callable[[Tensor], Tensor], prepare: Callable[[Tensor], Tensor], views: Iterator[Tensor], per_pass: int
) -> Tensor:
    """Log of the softmax outputs averaged over views, each (N, 3, crop, crop) → (N, classes).

    `prepare`: views → inputs of `net`; `per_pass`: number of views in a forward pass.
    """
    total, count = 0.0, 0
    while chunk := list(islice(views, per_pass)):
        size, batch = len(chunk), prepare(torch.cat(chunk) if len(chunk) > 1 else chunk[0])
        del chunk  # its copy is enough: ten views of a batch take 0.8 GB
        probabilities = F.softmax(net(batch).float(), 1)
        total, count = total + probabilities.unflatten(0, (size, -1)).sum(0), count + size
    assert isinstance(total, Tensor)
    mean = total / count
    return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
