"""Comparable timings: candidates run in turn, once a round, so that a busy machine slows all of them alike."""

import contextlib
import statistics
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from alexnet_pl.console import silence_library_logs
from alexnet_pl.errors import UserError
from alexnet_pl.runs.provenance import installed
from alexnet_pl.runtime import cores

Job = Callable[[], int]
"""Does some work and says of how many images."""
Flow = Callable[[], Generator[int, None, None]]
"""Batches without end: how many images each has, as it is there."""


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
    return {name: rate(rates) for name, rates in found.items()}


def rate(found: list[float]) -> Rate:
    return Rate(statistics.median(found), min(found), max(found))


class Window(NamedTuple):
    """Of a flow: seconds that do not count, as processes start and memory is touched for the first time, then seconds
    and batches of which both must have passed."""

    warm: float = 1.0
    seconds: float = 2.0
    batches: int = 12


def time_streams(flows: Mapping[str, Flow], rounds: int, window: Window) -> dict[str, Rate]:
    """Every flow is opened anew each round, and closed before the next one's turn."""
    found: dict[str, list[float]] = {name: [] for name in flows}
    for _ in range(rounds):
        for name, flow in flows.items():
            found[name].append(steady(flow, window))
    return {name: rate(rates) for name, rates in found.items()}


def steady(flow: Flow, window: Window) -> float:
    """Images a second, from the arrival of one batch to the arrival of another."""
    batches = flow()
    try:
        began = time.perf_counter()
        while time.perf_counter() - began < window.warm:
            next(batches)
        began, images, count = time.perf_counter(), 0, 0
        while (passed := time.perf_counter() - began) < window.seconds or count < window.batches:
            images, count = images + next(batches), count + 1
        return images / passed
    finally:
        batches.close()


def machine() -> dict[str, Any]:
    """Properties of the machine that the figures depend on."""
    import os
    import platform

    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "versions": {name: found for name in PACKAGES if (found := installed(name))},
        "load": round(os.getloadavg()[0], 1),
    }


PACKAGES = ("torch", "torchvision", "lightning", "numpy", "pillow", "simplejpeg", "webdataset", "litdata",
            "nvidia-dali-cuda120", "nvidia-dali-cuda130", "ffcv")  # fmt: skip


def cpu_name() -> str:
    import platform

    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


Run = Callable[[], None]
Make = Callable[..., Run]
"""(name of a contender, …) → what is timed, ready to run."""
WARM = 2  # runs that do not count: compiling, first touches of memory


class Worker:
    """A process that holds one candidate, warmed up, and runs it on request."""

    def __init__(self, make: Make, name: str, *args: Any) -> None:
        context = get_context("spawn")
        self.line, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, make, name, *args), daemon=True)
        self.process.start()
        other.close()
        self.name = name

    def ready(self) -> None:
        """Wait until it is, or it would warm up on the cores that another one is timed on."""
        self.hear()

    def run(self) -> float:
        """Seconds of one run."""
        self.line.send(True)
        return self.hear()

    def hear(self) -> float:
        try:
            return self.line.recv()
        except EOFError as error:
            raise UserError(f"bench: the process of {self.name!r} ended; is there enough memory?") from error

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.line.send(False)
        self.process.join()


def serve(line: Connection, make: Make, name: str, *args: Any) -> None:
    silence_library_logs()
    run = make(name, *args)
    for _ in range(WARM):
        run()
    line.send(0.0)
    while line.recv():
        began = time.perf_counter()
        run()
        line.send(time.perf_counter() - began)


def time_in_processes(names: Iterable[str], make: Make, args: tuple[Any, ...], rounds: int) -> dict[str, float]:
    """Median seconds of each contender's runs."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = Worker(make, name, *args)
            stack.callback(workers[name].stop)
            workers[name].ready()
        found = [{name: worker.run() for name, worker in workers.items()} for _ in range(rounds)]
    return {name: statistics.median(seconds[name] for seconds in found) for name in workers}
