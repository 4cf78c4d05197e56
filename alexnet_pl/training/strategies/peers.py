"""End every process of a job within seconds when one of them has ended, each with one line that names the cause.

A collective operation waits for a process that is no more, and a child of a killed process goes on alone. A thread in
each process looks after the others on its machine; other machines are torchrun's or srun's matter, and a process that
hangs is found by `distributed.timeout`. The process that fails first leaves `failures/rank<N>.txt` in the run folder,
its cause in the first line and the traceback below, from which the others read why they end.
"""

import contextlib
import os
import platform
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from subprocess import Popen

import torch.distributed as dist

from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import LAST

INTERVAL = 0.5  # seconds between two looks
REASON = 3.0  # seconds in which a process that failed writes its reason
LINE = 2.0  # seconds in which the others print theirs
TEARDOWN = 10.0  # seconds for a process that failed to close its loggers
FAILURES = "failures"  # folder in the run folder


class PeerWatch:
    """Looks after the other processes of a job. `command`: what a user types to continue, without the run folder."""

    def __init__(self, run: Path, command: str) -> None:
        self.run, self.command = run, command
        self.rank, self.world = 0, 1
        self.children: dict[int, Popen] = {}  # by rank, those that this process started
        self.parent: int | None = None  # the process that started this one, if it is of the job
        self.pids: dict[int, int] = {}  # by rank, the other processes on this machine
        self.began = time.time()
        self.ended = threading.Event()
        self.handled: BaseException | None = None

    def start(self, children: dict[int, Popen] | None = None, parent: int | None = None) -> None:
        self.children, self.parent = children or {}, parent
        threading.Thread(target=self.look, daemon=True, name="peers").start()

    def meet(self) -> None:
        """Learn the other processes on this machine, once all can be asked."""
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        if self.rank == 0:
            shutil.rmtree(self.run / FAILURES, ignore_errors=True)  # of an earlier start
        everyone: list = [None] * self.world
        dist.all_gather_object(everyone, (machine(), os.getpid(), str(self.run)))
        self.run = Path(everyone[0][2])  # under torchrun each process has named a folder by its own clock
        here = {rank: pid for rank, (where, pid, _) in enumerate(everyone) if where == machine()}
        self.pids = {rank: pid for rank, pid in here.items() if rank != self.rank}

    def stop(self) -> None:
        """From now on the others may end."""
        self.ended.set()

    def look(self) -> None:
        while not self.ended.wait(INTERVAL):
            if gone := self.find_gone():
                with contextlib.suppress(Exception):
                    self.print_line(self.cause_of(gone))
                self.end_all(1)

    def find_gone(self) -> str | None:
        """The first process that has ended before its time, in words."""
        for rank, child in self.children.items():
            if code := child.poll():
                return f"rank {rank} (process {child.pid}) {how(code)}"
        if self.parent is not None and os.getppid() != self.parent:
            return f"rank 0 (process {self.parent}) has ended"
        for rank, pid in self.pids.items():
            child = self.children.get(rank)
            if not (child and child.returncode == 0) and not is_running(pid):
                return f"rank {rank} (process {pid}) has ended"
        return None

    def fail(self, error: BaseException) -> None:
        """Note and print why this process fails; whatever its teardown does, it ends soon."""
        if self.handled or self.ended.is_set():
            return
        self.handled = error
        self.stop()
        if not isinstance(error, Exception) or self.world == 1:
            return  # a signal, which all have agreed on, or nobody to tell
        if is_lost_connection(error):
            self.print_line(self.cause_of(self.find_gone()) if self.others_failed() else unanswered(error))
        else:
            self.write_failure(error)
            if not isinstance(error, UserError):  # which the command line prints
                self.print_line(summary(error))
        error.reported = True  # type: ignore[attr-defined]
        code = 2 if isinstance(error, UserError) else 1
        threading.Thread(target=self.end_later, args=[code]).start()  # the interpreter waits for it

    def others_failed(self) -> bool:
        """Whether another process has ended or said why it fails, after some time to do so."""
        until = time.monotonic() + REASON
        while time.monotonic() < until:
            if self.find_gone() or self.first_failure():
                return True
            time.sleep(INTERVAL / 5)
        return False

    def cause_of(self, gone: str | None) -> str:
        until = time.monotonic() + REASON
        while not (first := self.first_failure()) and time.monotonic() < until:
            time.sleep(INTERVAL / 5)
        return f"stopped, since {first or gone}"

    def first_failure(self) -> str | None:
        """What the process that failed first wrote."""
        found = []
        for path in (self.run / FAILURES).glob("rank*.txt"):
            with contextlib.suppress(OSError):
                if (when := path.stat().st_mtime) > self.began - 60:  # clocks of machines differ
                    found.append((when, f"rank {path.stem.removeprefix('rank')}: {path.read_text().splitlines()[0]}"))
        return min(found)[1] if found else None

    def write_failure(self, error: BaseException) -> None:
        path = self.run / FAILURES / f"rank{self.rank}.txt"
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".tmp")
            partial.write_text(f"{summary(error)}\n\n{''.join(traceback.format_exception(error))}")
            partial.replace(path)

    def print_line(self, cause: str) -> None:
        if (self.run / LAST).is_file():
            lies = os.path.relpath(self.run)
            advice = f"continue with: {self.command} {self.run if lies.startswith('..') else lies}"
        else:
            advice = "no checkpoint was written yet: start it again"
        print(f"alexnet_pl: rank {self.rank} of {self.world}: {cause}; {advice}", file=sys.stderr, flush=True)

    def end_later(self, code: int) -> None:
        """Once this process is done with its teardown, or has had its time for it."""
        until = time.monotonic() + TEARDOWN
        while threading.main_thread().is_alive() and time.monotonic() < until:
            time.sleep(INTERVAL / 5)
        self.end_all(code)

    def end_all(self, code: int) -> None:
        """End this process, and after some time for their own lines those of its machine that are left."""
        time.sleep(LINE)
        if sys.stdout.isatty():
            print("\x1b[?25h", end="", flush=True)  # the cursor, which the progress bar hides
        for pid in {*self.pids.values(), *(child.pid for child in self.children.values() if child.poll() is None)}:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        os._exit(code)


def is_reported(error: BaseException) -> bool:
    """Whether `PeerWatch.fail` has printed this error."""
    return getattr(error, "reported", False)


def machine() -> str:
    """The name of this machine and, in a container, of its table of processes."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def how(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"


def summary(error: BaseException) -> str:
    """An error in one line."""
    first = next(iter(str(error).strip().splitlines()), "")
    return first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"


def is_lost_connection(error: BaseException) -> bool:
    """Whether an error says only that another process did not answer."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in ("gloo", "nccl", "connection", "timed out"))
    )


def unanswered(error: BaseException) -> str:
    return f"another rank did not answer within distributed.timeout, or its machine was lost ({summary(error)})"
