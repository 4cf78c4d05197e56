"""Contenders in a process each: what one sets for its memory or its threads is not the others'. They take turns."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from alexnet_pl.errors import UserError
from alexnet_pl.telling import hush

Run = Callable[[], None]
Make = Callable[..., Run]
"""(name of a contender, …) → what is timed, ready to run."""
WARM = 2  # runs that do not count: compiling, first touches of memory


class Worker:
    """A process that holds a contender, warmed up, and runs it when told to."""

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
    hush()
    run = make(name, *args)
    for _ in range(WARM):
        run()
    line.send(0.0)
    while line.recv():
        began = time.perf_counter()
        run()
        line.send(time.perf_counter() - began)


def contest(names: Iterable[str], make: Make, args: tuple[Any, ...], rounds: int) -> dict[str, float]:
    """Median seconds of each contender's runs."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = Worker(make, name, *args)
            stack.callback(workers[name].stop)
            workers[name].ready()
        found = [{name: worker.run() for name, worker in workers.items()} for _ in range(rounds)]
    return {name: statistics.median(seconds[name] for seconds in found) for name in workers}
