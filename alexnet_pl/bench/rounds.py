"""Timings that can be compared: every contender once a round, in turn, so that a busy machine is busy for all."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Job = Callable[[], int]
"""Does some work and says of how many images."""


class Rate(NamedTuple):
    """Images a second over the rounds."""

    median: float
    low: float
    high: float


def interleaved(jobs: Mapping[str, Job], rounds: int) -> dict[str, Rate]:
    """One round to warm up, then `rounds` that count."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            images = job()
            if number:
                found[name].append(images / (time.perf_counter() - began))
    return {name: Rate(statistics.median(rates), min(rates), max(rates)) for name, rates in found.items()}


def machine() -> dict[str, Any]:
    """What the figures depend on and a reader cannot see."""
    import os
    import platform

    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }


def cpu_name() -> str:
    import platform

    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
