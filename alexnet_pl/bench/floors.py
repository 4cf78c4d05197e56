"""What this machine could do at best: bytes a second through memory, and operations a second of a large product."""

import time
from collections.abc import Callable

import numpy as np
import torch

FORWARD = 1.449e9  # floating-point operations an image of the network at 224 × 224: two for each of 724.4 M products
STEP = 4.136e9  # forward and backward, without the gradient of the pixels


def bandwidth() -> float:
    """Bytes a second, read and written, of a copy that fits in no cache."""
    source, target = (np.ones(256 << 20, np.uint8) for _ in range(2))
    return 2 * source.size / best(lambda: np.copyto(target, source))


def peak(kind: torch.dtype) -> float:
    """Operations a second of a product of matrices as large as the network's own."""
    a, b = (torch.randn(4096, 2048).to(kind), torch.randn(2048, 1024).to(kind))
    return 2 * 4096 * 2048 * 1024 / best(lambda: a @ b)


def best(job: Callable[[], object], runs: int = 7) -> float:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        job()
        found.append(time.perf_counter() - began)
    return min(found)
