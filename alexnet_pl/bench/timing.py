"""Interleaved timing: the candidates run in turn, once per round, so that a busy machine slows all of them equally."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import torch

from alexnet_pl.json_records import JsonObject
from alexnet_pl.runs.provenance import cpu_name, installed
from alexnet_pl.runtime.cores import cores

TimedJob = Callable[[], int]
"""Does some work and returns its number of images."""
BatchStream = Callable[[], Generator[int, None, None]]
"""Opens an endless stream; each batch yields its number of images."""


class Rate(NamedTuple):
    """Images per second over the rounds."""

    median: float
    low: float
    high: float


def time_interleaved(jobs: Mapping[str, TimedJob], rounds: int) -> dict[str, Rate]:
    """Measure the rate of each job over `rounds` rounds, after one warm-up round."""
    rates_by_name: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            images = job()
            if number:
                rates_by_name[name].append(images / (time.perf_counter() - start))
    return {name: summarize_rates(rates) for name, rates in rates_by_name.items()}


def summarize_rates(rates: list[float]) -> Rate:
    return Rate(statistics.median(rates), min(rates), max(rates))


class TimingWindow(NamedTuple):
    """Timing of a stream: `warm` untimed seconds while processes start, then at least `seconds` and `batches`."""

    warm: float = 1.0
    seconds: float = 2.0
    batches: int = 12


def time_streams(flows: Mapping[str, BatchStream], rounds: int, window: TimingWindow) -> dict[str, Rate]:
    """Measure the rate of each stream; every round opens each stream and closes it before the next."""
    rates_by_name: dict[str, list[float]] = {name: [] for name in flows}
    for _ in range(rounds):
        for name, flow in flows.items():
            rates_by_name[name].append(stream_rate(flow, window))
    return {name: summarize_rates(rates) for name, rates in rates_by_name.items()}


def stream_rate(flow: BatchStream, window: TimingWindow) -> float:
    """Images per second between the arrivals of two batches."""
    batches = flow()
    try:
        start = time.perf_counter()
        while time.perf_counter() - start < window.warm:
            next(batches)
        start, images, count = time.perf_counter(), 0, 0
        while (elapsed := time.perf_counter() - start) < window.seconds or count < window.batches:
            images, count = images + next(batches), count + 1
        return images / elapsed
    finally:
        batches.close()


def describe_machine() -> JsonObject:
    """Hardware, versions and load of this machine, as JSON."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "versions": {name: version for name in PACKAGES if (version := installed(name))},
        "load": round(os.getloadavg()[0], 1),
    }


PACKAGES = ("torch", "torchvision", "lightning", "numpy", "pillow", "simplejpeg", "webdataset", "litdata",
            "nvidia-dali-cuda120", "nvidia-dali-cuda130", "ffcv")  # fmt: skip


def describe_error(error: Exception) -> str:
    """Type and first line of an error, for a JSON file."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
