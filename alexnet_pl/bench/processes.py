"""Timing of candidates in processes of their own, so that none changes another's memory, threads or compiled code."""

import contextlib
import faulthandler
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from alexnet_pl.bench.timing import describe_error
from alexnet_pl.console import silence_library_logs
from alexnet_pl.errors import UserError

RunCandidate = Callable[[], None]
MakeCandidate = Callable[..., RunCandidate]
"""(name of a candidate, …) → function to time."""
WARMUP_RUNS = 2  # untimed: compilation, first use of memory
ANSWER_SECONDS = 900.0  # limit for the start with its warm-up, and for each run
STOP_SECONDS = 10  # limit for an idle candidate to end


class CandidateProcess:
    """Process that holds one warmed-up candidate and runs it on request, each time for at most `limit` seconds."""

    def __init__(self, make: MakeCandidate, name: str, *args: Any, limit: float = ANSWER_SECONDS) -> None:
        context = get_context("spawn")
        self.line, child_end = context.Pipe()
        given = (child_end, limit, make, name, *args)
        self.process = context.Process(target=serve_candidate, args=given, daemon=True)
        self.process.start()
        child_end.close()
        self.name, self.limit = name, limit

    def wait_until_warm(self) -> None:
        """Wait until the warm-up ends, so that it does not slow down another candidate's timing."""
        self.receive()

    def run(self) -> float:
        """Run once; returns seconds."""
        self.line.send(True)
        return self.receive()

    def receive(self) -> float:
        """Seconds from the process. Raises UserError if the candidate has failed, hangs, or its process has ended."""
        try:
            if not self.line.poll(self.limit):
                self.process.kill()
                raise UserError(f"bench: {self.name}: no answer for {self.limit:g} seconds")
            answer = self.line.recv()
        except EOFError as error:
            raise UserError(f"bench: the process of {self.name!r} ended; is there enough memory?") from error
        if isinstance(answer, str):
            raise UserError(f"bench: {self.name}: {answer}")
        return answer

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.line.send(False)
        self.process.join(STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def serve_candidate(line: Connection, limit: float, make: MakeCandidate, name: str, *args: Any) -> None:
    silence_library_logs()
    try:
        with stack_if_slow(limit):
            run = make(name, *args)
            for _ in range(WARMUP_RUNS):
                run()
        line.send(0.0)
        while line.recv():
            with stack_if_slow(limit):
                start = time.perf_counter()
                run()
                seconds = time.perf_counter() - start
            line.send(seconds)
    except Exception as error:
        traceback.print_exc()
        line.send(describe_error(error))


@contextlib.contextmanager
def stack_if_slow(limit: float) -> Iterator[None]:
    """Print the stacks of all threads to stderr after half of `limit` seconds. The process is killed at `limit`, which
    includes its start-up, so a later print would come too late."""
    faulthandler.dump_traceback_later(limit / 2, file=2)  # stderr
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def time_in_processes(
    names: Iterable[str],
    make: MakeCandidate,
    args: tuple[Any, ...],
    rounds: int,
    together: bool = True,
    limit: float = ANSWER_SECONDS,
) -> dict[str, float]:
    """Measure the median seconds of each candidate, each in its own process.

    `together`: take turns, so that all candidates see the same machine; else one process after the other, whose memory
    need not fit at the same time. `limit`: seconds for the start and for each run of a candidate.
    """
    if not together:
        return {name: time_in_processes([name], make, args, rounds, limit=limit)[name] for name in names}
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = CandidateProcess(make, name, *args, limit=limit)
            stack.callback(workers[name].stop)
            workers[name].wait_until_warm()
        rounds_seconds = [{name: worker.run() for name, worker in workers.items()} for _ in range(rounds)]
    return {name: statistics.median(seconds[name] for seconds in rounds_seconds) for name in workers}
