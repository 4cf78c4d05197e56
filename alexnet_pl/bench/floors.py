"""What this machine could do at best: bytes a second through memory, and operations a second of a large product."""

import copy
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy that fits in no cache."""
    source, target = (torch.ones(256 << 20, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * source.numel() / best(lambda: target.copy_(source), device)


def peak(kind: torch.dtype, device: torch.device) -> float:
    """Operations a second of a product of matrices: on a CPU as large as the network's own, on a GPU large enough."""
    m, k, n = (4096, 2048, 1024) if device.type == "cpu" else (8192, 8192, 8192)
    a, b = (torch.randn(shape, device=device).to(kind) for shape in ((m, k), (k, n)))
    return 2 * m * k * n / best(lambda: a @ b, device)


def best(job: Callable[[], object], device: torch.device, runs: int = 7) -> float:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        job()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return min(found)


def operations(net: nn.Module, crop: int) -> tuple[float, float]:
    """Of an image: forward, and forward with backward but without the gradient of the pixels. Two for each product of
    convolutions and full layers, counted on tensors without content; backward takes each product twice."""
    net = copy.deepcopy(net).to("meta")
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, crop, crop, device="meta"))
    forward = counter.get_total_flops()
    first = sum(counter.get_flop_counts()[f"{type(net).__name__}.conv1"].values())
    return forward, 3 * forward - first
